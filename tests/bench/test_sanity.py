"""Maps are compared with those that they should differ from, and nothing is counted as alike."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from bench.sanity import cascade, labels, pairs
from bench.sanity.alike import alike, share
from bench.sanity.page import COMPARED, OURS, page
from bench.summaries import summaries
from naflow.errors import BadInput
from naflow.methods import METHODS
from naflow.models import Input, create
from naflow.scores import ClassLogit

SIDE = 64
SEEN = Input(SIDE, "", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "square")
LAYERS = ["stem", "stages.3.2", "head"]


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return create("efficientnet_lite0", classes=3)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    rows = []
    for number, name in zip(range(9), ["face", "plane", "wheel"] * 3, strict=True):
        pixels = np.full((SIDE, SIDE, 3), 20 * number, np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        rows.append(["caltech3", f"{number}.png", "", name, "train", 4, 4, 12, 20])
    columns = ["subset", "image", "mask", "class", "split", "x0", "y0", "x1", "y1"]
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / "index.csv", index=False)
    return tmp_path


def test_maps_are_alike_by_the_ranks_of_their_positive_parts() -> None:
    own = torch.arange(16.0).view(1, 4, 4)
    for other, expected in {own**3: 1, own.flip(1, 2): -1, own * 0: 0}.items():
        assert float(alike(own, other)) == pytest.approx(expected)
    assert alike(-own, own).isnan()  # nothing of it is positive
    fine = torch.rand(1, 56, 56)
    coarse = torch.nn.functional.avg_pool2d(fine, 2)
    assert float(alike(fine, coarse)) == pytest.approx(1)


def test_an_empty_map_has_no_share() -> None:
    mask = torch.zeros(2, 4, 4, dtype=torch.bool)
    mask[:, :2] = True
    maps = torch.stack([torch.zeros(4, 4), torch.ones(4, 4)])
    assert share(maps, mask).isnan().tolist() == [True, False]
    assert float(share(maps, mask)[1]) == 0.5


def test_stage_after_stage_becomes_random(network: torch.nn.Module) -> None:
    image, mask = torch.randn(1, 3, SIDE, SIDE), torch.zeros(SIDE, SIDE, dtype=torch.bool)
    mask[:16] = True
    same = cascade.randomised("mean_activation", network, image, 1, mask, LAYERS, 0)
    # Activations do not change with what is behind them, and do with what is before.
    assert same["rank classifier"].tolist() == pytest.approx([1, 1, 1])
    assert same["rank head"].tolist()[:2] == pytest.approx([1, 1])
    assert same["rank stages.2"].iloc[0] == pytest.approx(1) != same["rank stages.2"].iloc[1]
    assert same["rank stem"].iloc[0] < 0.99
    asked = cascade.randomised("hirescam", network, image, 1, mask, LAYERS, 0)
    flow = METHODS["hirescam"](network)(image, ClassLogit(torch.tensor([1])))
    sums = [float(flow[layer].clamp(min=0).sum()) for layer in LAYERS]
    assert asked["kept"].tolist() == pytest.approx([one / sums[-1] for one in sums], rel=1e-4)
    assert (asked["rank classifier"] < 0.99).any()
    assert {f"{what} {stage}" for what in ("rank", "share") for stage in cascade.STAGES} < {*asked}


def test_every_class_has_one_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    classes = dict(zip("abcdefg", [1, 2, 1, 1, 1, 3, 2], strict=True))
    pictures = [SimpleNamespace(id=name) for name in classes]
    number = count()

    def shown(known: object, given: list) -> list[tuple]:
        return [(one, torch.full((1, 3, 2, 2), float(next(number))), None) for one in given]

    monkeypatch.setattr(pairs, "shown", shown)
    monkeypatch.setattr(
        pairs, "predicted", lambda known, image: [*classes.values()][int(image.mean())]
    )
    found = pairs.pairs(None, pictures, 5)  # ty: ignore[invalid-argument-type]
    assert [(names, target) for names, target, _ in found] == [("a c", 1), ("b g", 2)]
    assert found[1][2].mean((1, 2, 3)).tolist() == [1, 6]


def test_the_labels_of_a_lesson_are_true_or_shuffled(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labels, "SIZE", SIDE)
    lesson = labels.lesson(photos, SEEN, 0)
    assert lesson.labels["true"].tolist() == lesson.labels["again"].tolist() == [0, 1, 2] * 3
    assert sorted(lesson.labels["shuffled"].tolist()) == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert lesson.labels["shuffled"].tolist() != lesson.labels["true"].tolist()
    assert lesson.masks.flatten(1).sum(1).tolist() == [8 * 16] * 9  # the boxes
    asked = labels.asked(lesson, 4)
    assert len(asked) == 4
    assert all(lesson.labels["true"][i] != lesson.labels["shuffled"][i] for i in asked)


def test_a_network_that_did_not_learn_is_not_explained(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labels, "SIZE", SIDE)
    monkeypatch.setattr(labels, "EPOCHS", 1)
    lesson = labels.lesson(photos, SEEN, 0)
    with pytest.raises(BadInput, match=r"'true' knows .+ of its labels"):
        labels.learnt(lesson, photos / "networks")
    monkeypatch.setattr(labels, "ENOUGH", 0)
    first = labels.learnt(lesson, photos / "networks")
    monkeypatch.setattr(labels, "_learn", None)  # what is stored is read
    again = labels.learnt(lesson, photos / "networks")
    for name, network in first.items():
        assert torch.equal(network.classifier.weight, again[name].classifier.weight)
    row = labels.compared("hirescam", first, lesson, 0, LAYERS)
    assert row["share true"].iloc[:2].between(0, 1).all() and "rank true" not in row
    assert {"rank again", "labels", "share shuffled", "empty shuffled"} < {*row}


def test_the_page_is_made_from_the_tables() -> None:
    rng = np.random.default_rng(0)
    stages = [f"{what} {stage}" for stage in cascade.STAGES for what in ("rank", "share", "empty")]
    of_labels = [
        f"{what} {name}" for what in ("share", "rank", "empty") for name in labels.NETWORKS
    ]
    names = ["share", "kept", "empty", "pair", "labels", *stages, *of_labels]
    tables = [
        pd.DataFrame(
            {name: less + 0.1 * rng.random(18) for name in names}
            | {"picture": [*"abcdef"] * 3, "depth": np.repeat([1 / 3, 2 / 3, 1], 6)}
        ).assign(method=method)
        for method, less in {OURS[0]: 0.0, OURS[1]: 0.5, "layercam": 0.8}.items()
    ]
    means, leads = summaries(pd.concat(tables), OURS, names, [*COMPARED])
    text = page(means, leads, "sanity")
    assert "6 photographs with masks" in text and "6 pairs" in text
    assert f"Two pictures of one class: `{OURS[0]}` is at every depth ahead of" in text
    own = means.set_index(["method", "measure", "third"])["mean"]
    cell = " ".join(
        f"{own['layercam', 'rank shuffled', third]:.2f}" for third in ("shallow", "middle", "deep")
    )
    assert f"| {cell} |" in text
