"""What a model returns: where the logits are in it, and outputs that hold none."""

from __future__ import annotations

from collections import namedtuple
from types import SimpleNamespace

import pytest
import torch

from naflow import BadInput, UnsupportedModel, scores


def test_class_logit_needs_logits() -> None:
    with pytest.raises(BadInput, match="PixelSet"):
        scores.ClassLogit()(torch.zeros(2, 3, 4, 4))
    with pytest.raises(BadInput, match=r"returns a dict without 'logits' or 'out'.*score=lambda"):
        scores.ClassLogit()({"scores": torch.zeros(2, 3)})
    with pytest.raises(BadInput, match="returns a SimpleNamespace without"):
        scores.ClassLogit()(SimpleNamespace(logits="0.3"))
    with pytest.raises(BadInput, match="returns a tuple without"):
        scores.ClassLogit()(())


@pytest.mark.parametrize(
    "score", [scores.ClassLogit(), scores.ClassContrast(0), scores.Similarity(torch.ones(3))]
)
def test_complex_numbers_are_refused(score: scores.Score) -> None:
    with pytest.raises(BadInput, match=r"returns complex numbers \(torch.complex64\)"):
        score(torch.ones(2, 3, dtype=torch.complex64))


LOGITS = torch.tensor([[2.0, 1.0, 0.0], [0.0, 3.0, 4.0]])
FEATURES = torch.zeros(2, 5, 4, 4)
Named = namedtuple("Named", ["features", "logits"])


@pytest.mark.parametrize(
    "output",
    [
        LOGITS,
        {"logits": LOGITS, "features": FEATURES},
        {"features": FEATURES, "out": LOGITS},
        {"out": FEATURES, "logits": LOGITS},
        SimpleNamespace(logits=LOGITS, features=FEATURES),
        SimpleNamespace(out=LOGITS),
        (LOGITS, FEATURES),
        [LOGITS, None],
    ],
    ids=["tensor", "dict", "out", "logits before out", "object", "object out", "tuple", "list"],
)
def test_where_the_logits_are_in_an_output(output: object) -> None:
    assert scores.ClassLogit()(output).tolist() == [2, 4]
    assert scores.ClassLogit([1, 0])(output).tolist() == [1, 0]
    assert scores.predicted(output, scores.ClassLogit()).tolist() == [0, 2]
    asked = scores.settled(scores.ClassLogit(), output)
    assert asked(-LOGITS).tolist() == [-2, -4]


def test_a_tuple_with_names_begins_with_what_is_explained() -> None:
    with pytest.raises(BadInput, match=r"returns \(2, 5, 4, 4\)"):
        scores.ClassLogit()(Named(FEATURES, LOGITS))
    assert scores.ClassLogit()(Named(LOGITS, FEATURES)).tolist() == [2, 4]


def test_a_detector_is_refused_for_what_it_is() -> None:
    with pytest.raises(UnsupportedModel, match="is a detector: it returns boxes"):
        scores.ClassLogit()([{"boxes": torch.zeros(3, 4), "scores": torch.zeros(3)}])
