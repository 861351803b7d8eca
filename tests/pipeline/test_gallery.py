"""Stage `gallery`: what the documentation's captions say of its pictures holds of the maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from naflow import models
from naflow.cli.demo import NETWORK
from naflow.models.imagenet import class_names
from naflow.scores import ClassLogit
from pipeline import gallery
from pipeline.gallery import Row

pytest.importorskip("skimage", reason="scikit-image brings the photographs")

COMMITTED = Path(__file__).parents[2] / "docs" / "gallery"


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    return models.create(NETWORK, models.installed(NETWORK))


def maps(row: Row) -> list[np.ndarray]:
    """Shallow to deep, each the sum 1 where it is not empty."""
    asked = None if row.asked is None else class_names().index(row.asked)
    flow = row.method(row.network)(gallery._input(row.image), ClassLogit(asked))
    found = [flow[layer][0].numpy() for layer in flow.blocks]
    return [one / max(one.sum(), 1e-12) for one in found]


def test_the_captions_of_the_limits_hold(network: torch.nn.Module) -> None:
    cat, espresso, shuffled, tested, tested_shuffled = map(maps, gallery.limits(network))
    assert len(cat) == 9
    assert all(one.sum() == pytest.approx(1) for one in cat)
    assert not any(one.any() for one in espresso)
    alike = [float(np.minimum(a, b).sum()) for a, b in zip(cat, shuffled, strict=True)]
    assert alike[0] > 0.7 > 0.5 > alike[-1], alike
    assert all(one.any() for one in tested) and not any(one.any() for one in tested_shuffled)


def test_a_shuffled_classifier_has_the_same_weights_in_another_order(
    network: torch.nn.Module,
) -> None:
    before = network.get_submodule("classifier").get_parameter("weight").clone()
    weight = gallery.shuffled(network).get_submodule("classifier").get_parameter("weight")
    assert not torch.equal(weight, before)
    assert torch.equal(weight.flatten().sort().values, before.flatten().sort().values)
    assert torch.equal(network.get_submodule("classifier").get_parameter("weight"), before)


def test_rows_are_drawn_as_wide_as_a_page(network: torch.nn.Module, tmp_path: Path) -> None:
    row = gallery.limits(network)[0]
    path = gallery.draw(tmp_path / "one.webp", [row], "One")
    again = gallery.draw(tmp_path / "two.webp", [row], "One")
    assert path.read_bytes() == again.read_bytes()
    with Image.open(path) as drawn:
        assert drawn.format == "WEBP"
        assert 900 < drawn.width < 1100


def test_the_names_of_the_photographs_are_their_predictions(network: torch.nn.Module) -> None:
    assert [row.name for row in gallery.photographs(network)] == [
        "cat: Egyptian cat 40%",
        "coffee: espresso 94%",
        "astronaut: bobsled 29%",
        "rocket: missile 31%",
    ]


def test_every_picture_is_committed_small_and_shown_with_words() -> None:
    pages = "".join((COMMITTED.parent / f"{name}.md").read_text() for name in ("index", "gallery"))
    files = sorted(COMMITTED.iterdir())
    assert [file.stem for file in files] == sorted(gallery.PICTURES)
    assert sum(file.stat().st_size for file in files) < 1.5e6
    for file in files:
        assert f"](gallery/{file.name})" in pages
