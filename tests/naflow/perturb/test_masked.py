"""Parts of outputs and inputs that belong to some of the images, and masks that are shown."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from naflow import BadInput, NotFinite
from naflow.perturb.masked import Trial, repeated, rows
from naflow.scores import ClassLogit


def test_rows_of_an_output() -> None:
    z, f = torch.arange(12.0).view(6, 2), torch.arange(6.0).view(6, 1)
    found = rows({"logits": z, "inner": [f, None, 3], "loss": torch.tensor(0.5)}, 2, 4)
    assert found["logits"].tolist() == [[4, 5], [6, 7]]
    assert found["inner"][0].tolist() == [[2], [3]] and found["inner"][1:] == [None, 3]
    assert found["loss"] == 0.5


def test_inputs_of_one_image_repeated() -> None:
    scale, table, flag = torch.tensor([1.0, 2, 3]), torch.ones(5, 2), True
    found = repeated((scale, table, flag), 1, 3, 4)
    assert found[0].tolist() == [2, 2, 2, 2]
    assert found[1] is table and found[2] is True
    assert repeated({"scale": scale}, 2, 3, 2)["scale"].tolist() == [3, 3]


class Sums(nn.Module):
    """Two logits: the sum of the pixels, and its negative."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        total = x.flatten(1).sum(1)
        return torch.stack([total, -total], 1)


def test_what_is_masked_shows_the_baseline() -> None:
    images, baseline = torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4)
    trial = Trial(Sums(), images, baseline, ClassLogit([0, 1]))
    masks = torch.rand(5, 2, 4, 4)
    found = trial(masks, "test")
    for m in range(5):
        shown = masks[m][:, None] * images + (1 - masks[m][:, None]) * baseline
        expected = shown.flatten(1).sum(1) * torch.tensor([1, -1])
        torch.testing.assert_close(found[m], expected)


def test_answers_that_cannot_be_given_are_said() -> None:
    images = torch.rand(2, 3, 4, 4)
    masks = torch.ones(1, 2, 4, 4)
    with pytest.raises(BadInput, match="images under the mask cannot be scored: Class 2"):
        Trial(Sums(), images, images, ClassLogit(2))(masks, "the mask")
    with pytest.raises(NotFinite, match=r"score of images \[1\] under the mask is NaN"):
        Trial(Sums(), images, images, lambda z: z[:, 0] / torch.tensor([1.0, 0]))(masks, "the mask")
