"""--model with networks of others, and checkpoints of one's own, through main(argv)."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest
import torch
from loopback_hub import NAMES, in_the_hubs_place, publish_small
from PIL import Image
from torchvision.models import shufflenet_v2_x0_5

from naflow.cli import main


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (80, 100, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.fixture
def hub(tmp_path: Path) -> Generator[str]:
    """hf:ant/small on a hub of this machine: a small ResNet of transformers."""
    told = {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 32}}
    told |= {"crop_pct": 0.875, "image_mean": [0.5] * 3, "image_std": [0.25] * 3, "resample": 3}
    publish_small(tmp_path / "repositories", told, "mit")
    with in_the_hubs_place(tmp_path / "repositories", tmp_path):
        yield "hf:ant/small"


def test_a_network_of_the_hub_is_explained_and_its_licence_said_once(
    hub: str, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = ["--model", hub, "--target", "bee", "cat", "--method", "naflow", "gradcam"]
    argv = ["explain", str(photo), *words, "--device", "cpu", "--out", str(out)]
    assert main(argv) == 0
    [line] = [one for one in capsys.readouterr().err.splitlines() if "sha256" in one]
    assert line.startswith("naflow: hf:ant/small: model.safetensors from http://127")
    assert line.endswith("licence: mit")
    told = json.loads((out / "manifest.json").read_text())
    assert told["settings"]["weights"]["licence"] == "mit"
    assert told["settings"]["weights"]["sha256"] in line
    assert told["settings"]["classes"] == NAMES
    seen = told["settings"]["input"]
    assert (seen["size"], seen["mean"], seen["resample"]) == (32, [0.5] * 3, "bicubic")
    assert seen["cut"] == "the shorter side to 36 pixels, then the middle 32"
    [entry] = told["photos"].values()
    assert set(entry["methods"]) == {f"{m}/{c}" for m in ("naflow", "gradcam") for c in NAMES[1:]}
    assert main(argv) == 0
    assert "sha256" not in capsys.readouterr().err


def test_a_checkpoint_for_a_named_architecture(photo: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = shufflenet_v2_x0_5(num_classes=3).state_dict()
    torch.save({"net": {f"module.{k}": v for k, v in state.items()}}, tmp_path / "w.pt")
    (tmp_path / "names.txt").write_text("\n".join(NAMES))
    words = ["--model", "torchvision:shufflenet_v2_x0_5", "--weights", str(tmp_path / "w.pt")]
    words += ["--labels", str(tmp_path / "names.txt"), "--size", "64", "--method", "gradcam"]
    out = tmp_path / "out"
    assert main(["explain", str(photo), *words, "--device", "cpu", "--out", str(out)]) == 0
    told = json.loads((out / "manifest.json").read_text())
    assert told["settings"]["weights"]["file"] == "w.pt"
    [entry] = told["photos"].values()
    assert {one["name"] for one in entry["predictions"]} == set(NAMES)


def test_without_a_network_it_is_one_sentence(
    photo: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "out"
    assert main(["explain", str(photo), "--model", "hf:ant/large", "--out", str(out)]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "connect this machine, or download the repository elsewhere" in line
    assert not out.exists()


def test_labels_of_other_classes_need_weights_of_ones_own(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "names.txt").write_text("\n".join(NAMES))
    words = ["--model", "torchvision:resnet18", "--labels", str(tmp_path / "names.txt")]
    assert main(["explain", str(photo), *words, "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "have other classes: give your own --weights, too" in said
