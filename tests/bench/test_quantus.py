"""Quantus is given the maps of the layers as the rows of a batch, and its numbers are told as they
are."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from bench.quantus import judge
from bench.quantus.judge import TESTS, Explained, Remembered, Subject, judged
from bench.quantus.page import OURS, page, tally
from naflow.errors import BadInput
from pipeline.measuring.thirds import THIRDS, lead, means

SIDE = 16
LAYERS = ["0", "2"]


class Bright(nn.Sequential):
    """Class 0 where the left half is bright, classes 1 and 2 where the upper and the lower right
    quarters are; two layers. Nothing contributes to a class whose place is dark."""

    def __init__(self) -> None:
        super().__init__(
            nn.AvgPool2d(2), nn.Conv2d(3, 3, 1, bias=False), nn.ReLU(),
            nn.Flatten(), nn.Linear(3 * 64, 3, bias=False),
        )  # fmt: skip
        weight = torch.zeros(3, 3, 8, 8)
        weight[0, :, :, :4] = weight[1, :, :4, 4:] = weight[2, :, 4:, 4:] = 1
        with torch.no_grad():
            self[1].weight.copy_(torch.eye(3)[:, :, None, None])
            self[4].weight.copy_(weight.flatten(1))


@pytest.fixture
def subject() -> Subject:
    image = torch.zeros(1, 3, SIDE, SIDE)
    image[..., :8, :8] = 1
    mask = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    mask[:, :8] = True
    return Subject(Remembered(Bright().eval()), image, mask, 0, 0)


def rows(image: Tensor) -> np.ndarray:
    return image.repeat(len(LAYERS), 1, 1, 1).numpy()


def test_a_row_is_the_map_of_a_layer_as_large_as_the_picture(subject: Subject) -> None:
    maps = Explained("hirescam", LAYERS)(subject.model, rows(subject.image), np.zeros(2, int))
    assert maps.shape == (2, 1, SIDE, SIDE) and maps.max((1, 2, 3)).tolist() == [1, 1]
    assert (maps[:, :, :6, :6] > 0.9).all() and not maps[:, :, :, 10:].any()


def test_a_row_has_the_class_that_it_is_asked_for(subject: Subject) -> None:
    explained = Explained("hirescam", LAYERS)
    maps = explained(subject.model, rows(subject.image), np.array([0, 1]))
    assert explained.emptied.tolist() == [False, True]
    assert maps[0, 0, :, 10:].max() == 0
    assert len(np.unique(maps[1])) > 1  # Quantus refuses a map that is the same everywhere


def test_tiny_maps_have_the_scale_of_others(subject: Subject) -> None:
    with torch.no_grad():
        subject.model.network[4].weight.mul_(1e-38)
    maps = Explained("hirescam", LAYERS)(subject.model, rows(subject.image), np.zeros(2, int))
    assert maps.max((1, 2, 3)).tolist() == [1, 1]


def test_what_was_asked_before_is_not_asked_again() -> None:
    asked = []

    class Counted(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            asked.append(len(images))
            return images.sum((1, 2, 3))[:, None]

    model = Remembered(Counted().eval())
    for images in (torch.ones(2, 3, 4, 4), torch.ones(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)):
        assert torch.equal(model(images), images.sum((1, 2, 3))[:, None])
    assert asked == [2, 2] and not model.training


def test_quantus_gives_the_known_values(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("quantus", reason="quantus is in no extra: docs/method-study/quantus.sh")
    monkeypatch.setattr(judge, "STEPS", 12)
    settings = {"nr_runs": 5, "subset_size": 100}
    drawn = replace(TESTS["correlation"], settings=settings)
    monkeypatch.setitem(TESTS, "correlation", drawn)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = judged(subject, Explained("hirescam", LAYERS))
    assert all(len(values) == len(LAYERS) for values in found.values())
    assert found["attribution"].tolist() == pytest.approx([1, 1], abs=0.1)  # all on the left
    assert found["pointing"].tolist() == [1, 1] and found["empty"].tolist() == [0, 0]
    # Three of twelve steps take the bright quarter away; then no class is more probable.
    assert found["flipping"].tolist() == pytest.approx([(1.5 + 9 / 3 + 1 / 6) / 11] * 2, abs=1e-3)
    assert (found["correlation"] > 0.9).all()  # the network is linear
    # The other classes see nothing: no ranks, and no SSIM.
    assert found["logit"].tolist() == [0, 0] and found["logit_empty"].tolist() == [1, 1]
    assert np.isnan(found["ssim"]).all()


def test_without_quantus_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(judge, "import_module", absent)
    with pytest.raises(BadInput, match="pip install quantus"):
        judge.imported()


def test_the_page_is_made_from_the_tables() -> None:
    rng = np.random.default_rng(0)
    names = [*TESTS, "empty", "logit_empty", "parameters_empty"]
    tables = {}
    for name, better in {OURS[0]: 0.5, OURS[1]: 0.5, "gradcam": 0.0}.items():
        table = pd.DataFrame(
            [
                {"picture": picture, "depth": depth / 3}
                for picture in "abcdef"
                for depth in (1, 2, 3)
            ]
        )
        for test in names:
            sign = TESTS[test].measure.sign if test in TESTS else 1
            table[test] = better * sign + 0.1 * rng.random(len(table))
        tables[name] = table
    tables[OURS[0]].loc[tables[OURS[0]]["picture"] > "b", "ssim"] = np.nan
    told = pd.concat(
        means(one, names, 200, 0.95, 0).assign(method=name) for name, one in tables.items()
    )
    ahead = pd.concat(
        lead(tables[ours], one, [*TESTS], 200, 0.95, 0).assign(method=ours, less=name)
        for ours in OURS
        for name, one in tables.items()
        if name != ours
    )
    text = page(told, ahead, "0.6.0", "quantus")
    assert "6 photographs" in text and "Quantus 0.6.0" in text
    assert f"Pixel flipping: `{OURS[0]}` is at every depth ahead of `gradcam`" in text
    first = told.set_index(["method", "measure", "third"])["mean"]
    cell = " ".join(f"{first[OURS[0], 'rank', third]:.2f}" for third in THIRDS)
    assert f"| {cell} |" in text
    assert "| - - - |" in text  # too few have an SSIM
    own = ahead[(ahead["method"] == OURS[0]) & (ahead["less"] == "gradcam")]
    assert "localisation ahead 9, level 0, behind 0" in tally(own, OURS[0])
    assert "randomisation ahead 6, level 0, behind 0" in tally(own, OURS[0])
