"""Asking a model: every picture keeps its own question, whatever the batch, and nothing changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from networks import Functional, Residual, randomised
from untouched import same, state_of

from naflow.errors import BadInput, NotFinite
from naflow.metrics.answers import Answers, ClassProbability, ask
from naflow.scores import ClassLogit

CLASSES = [2, 0, 3]


def network():
    torch.manual_seed(1)
    return randomised(Residual())


def pictures(count=3):
    return torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(2))


def test_a_probability_is_the_exponential_over_the_sum():
    logits = torch.randn(3, 4)
    e = np.exp(logits.double().numpy())
    expected = e[range(3), CLASSES] / e.sum(1)
    assert ClassProbability(CLASSES)(logits).numpy() == pytest.approx(expected)
    assert ClassProbability(1)(logits).numpy() == pytest.approx(e[:, 1] / e.sum(1))
    with pytest.raises(BadInput, match="Class 9 is out of range"):
        ClassProbability(9)(logits)
    with pytest.raises(BadInput, match=r"needs logits of shape \(B, classes\)"):
        ClassProbability(0)(logits[:, :, None])


@pytest.mark.parametrize("kind", [Residual, Functional])
@pytest.mark.parametrize("batch", [1, 3, 7, 100])
def test_a_picture_keeps_its_class_however_many_are_asked_at_once(kind, batch):
    torch.manual_seed(1)
    model = randomised(kind()).eval()
    changes = [pictures() * factor for factor in (0.0, 0.5, 1.0, 2.0)]
    found = ask(Answers(model, ClassProbability(CLASSES), 3), iter(changes), 3, batch)
    with torch.no_grad():
        expected = [
            [float(model(change[i : i + 1]).softmax(1)[0, c]) for change in changes]
            for i, c in enumerate(CLASSES)
        ]
    assert found.dtype == torch.float64 and found.shape == (3, 4)
    assert found.numpy() == pytest.approx(np.array(expected), abs=1e-6)


def test_a_pass_has_at_most_a_batch_of_images():
    sizes = []

    def answer(images):
        sizes.append(len(images))
        return images.sum((1, 2, 3))

    for batch in (7, 2):
        sizes.clear()
        ask(answer, [pictures()] * 5, 3, batch)
        assert sizes == ([6, 6, 3] if batch == 7 else [3] * 5)


def test_the_model_and_the_images_are_left_as_they_were():
    model, images = network().train(), pictures()
    before, copy = state_of(model), images.clone()
    found = ask(Answers(model, ClassLogit(CLASSES), 3), [images], 3, 64)
    assert not found.requires_grad
    assert same(before, state_of(model)) and torch.equal(images, copy)


def test_what_is_no_answer():
    with pytest.raises(BadInput, match=r"shape \(3, 3, 16\)"):
        ask(lambda images: images.sum(3), [pictures()], 3, 64)
    with pytest.raises(NotFinite, match=r"rows \[0, 1, 2\]"):
        ask(lambda images: images.sum((1, 2, 3)) / 0, [pictures()], 3, 64)
    with pytest.raises(BadInput, match="batch=0"):
        ask(lambda images: images.sum((1, 2, 3)), [pictures()], 3, 0)
