"""`naflow demo`: a real network on real photographs, from what is installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from naflow import models
from naflow.cli import demo, main
from naflow.explainers import GradCAM

pytest.importorskip("skimage", reason="scikit-image brings the photographs")


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    return models.create(demo.NETWORK, models.installed(demo.NETWORK))


@pytest.fixture(scope="module")
def pair() -> np.ndarray:
    return np.concatenate([demo.photograph("cat"), demo.photograph("coffee")], axis=1)


@pytest.fixture(scope="module")
def either(network: torch.nn.Module, pair: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """The maps of NAFlow for the cat and for the coffee."""
    explainer = demo.METHODS["naflow"](network)
    return {word: demo._maps(explainer, network, pair, word) for word in demo.ASKED}


def test_asked_for_a_cat_or_for_coffee_every_block_lies_on_what_was_asked_for(
    either: dict[str, dict[str, np.ndarray]],
) -> None:
    for word, left in zip(demo.ASKED, (True, False), strict=True):
        assert len(either[word]) == 9
        for layer, found in either[word].items():
            half = found.shape[1] // 2
            there = found[:, :half] if left else found[:, half:]
            assert there.sum() > 0.9 * found.sum() > 0, (word, layer)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """One cheap method instead of three."""
    monkeypatch.setattr(demo, "METHODS", {"Grad-CAM": GradCAM})


@pytest.mark.usefixtures("quick")
def test_it_draws_and_says_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--out", str(tmp_path / "new"), "--no-open"]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        f"{tmp_path}/new/{name}" for name in ("flow.png", "index.html")
    ]
    assert "1 of 3, cat, predicted, Grad-CAM" in said.err
    with Image.open(tmp_path / "new" / "flow.png") as drawn:
        assert drawn.width > 1400
    with np.load(tmp_path / "new" / "flow.npz") as maps:
        assert len(maps.files) == 3 * 9
        assert maps["cat and coffee/espresso/Grad-CAM/stem"].shape == (112, 224)


def test_the_caption_names_authors_licences_predictions_and_the_scale(
    network: torch.nn.Module, pair: np.ndarray
) -> None:
    said = demo.caption(network, {"Side by side": pair})
    for word in ("walt", "michetti", "cc0", "apache-2.0", "espresso 9", "99.5th percentile"):
        assert word in said.lower(), word


def test_without_the_photographs_it_says_what_to_install(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "find_spec", lambda name: None)
    assert main(["demo", "--out", str(tmp_path / "new")]) == 2
    assert "comes with scikit-image, which is not installed: pip install 'naflow[demo]'" in (
        capsys.readouterr().err
    )
    assert not (tmp_path / "new").exists()
    monkeypatch.undo()
    assert importlib.util.find_spec("skimage")
