"""Masks lie where the evidence for a picture's own class is."""

import pytest
import torch
from torch import nn

from naflow.errors import BadInput
from naflow.explainers import CFCAM
from pipeline.hard_samples.attention import attended

SIZE = 32
HALF = [0.5, 0.5, 0.5]


@pytest.fixture
def network():
    """Class 0 is how much red there is, class 1 how much green."""
    first = nn.Conv2d(3, 2, 1)
    last = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        first.weight.copy_(torch.eye(2, 3)[:, :, None, None])
        first.bias.fill_(0.5)  # black is -1 after normalising
        last.weight.copy_(20 * torch.eye(2))
    pool = nn.AvgPool2d(2)
    return nn.Sequential(first, nn.ReLU(), pool, nn.AdaptiveAvgPool2d(1), nn.Flatten(), last)


@pytest.fixture
def images():
    """A red square at the left and a larger green one at the right, three times."""
    found = torch.zeros(3, 3, SIZE, SIZE, dtype=torch.uint8)
    found[:, 0, 8:16, 4:12] = 255
    found[:, 1, 8:24, 18:30] = 255
    return found


def masks(network, images, labels, **more):
    explainer = CFCAM(network)
    return attended(explainer, images, torch.tensor(labels), HALF, HALF, quiet=True, **more)


def test_they_follow_the_true_class_also_where_the_classifier_is_wrong(network, images):
    red, green, again = masks(network, images, [0, 1, 0], batch=2)
    assert red.shape == (1, SIZE, SIZE)
    assert red[:, :, : SIZE // 2].sum() > 20 * red[:, :, SIZE // 2 :].sum()
    assert green[:, :, SIZE // 2 :].sum() > 20 * green[:, :, : SIZE // 2].sum()
    assert red.min() >= 0 and red.max() == 1
    torch.testing.assert_close(again, red)


def test_a_threshold_makes_them_hard(network, images):
    found = masks(network, images, [0, 1, 0], threshold=0.5)
    assert set(found.unique().tolist()) == {0.0, 1.0}
    assert found[0, 0, 12, 8] == 1


def test_the_last_layer_unless_another_is_named(network, images):
    last = masks(network, images[:1], [0])
    assert torch.equal(last, masks(network, images[:1], [0], layer="2"))
    assert not torch.equal(last, masks(network, images[:1], [0], layer="1"))
    with pytest.raises(BadInput, match="9"):
        masks(network, images[:1], [0], layer="9")


def test_nothing_speaks_for_the_class(network, images):
    images[1, 0] = 0  # no red at all
    found = masks(network, images, [0, 0, 0])
    assert (found[1] == 0).all()
    assert found[0].any()
