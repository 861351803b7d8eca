"""The stages: weights that a kill does not change, a gate, and a figure of the same bytes."""

import json

import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from safetensors.torch import load_file
from torchvision.models import resnet18

from naflow.errors import BadInput
from pipeline.app import CONF
from pipeline.learning.training import Trainer
from pipeline.models import weights
from pipeline.regions import regions
from pipeline.segment import begun, segment


@pytest.fixture
def cfg(config, tmp_path):
    """A tiny U-Net for one epoch on small scenes."""

    def composed(**changed) -> DictConfig:
        cfg = config()
        OmegaConf.set_struct(cfg, False)
        cfg.segment = OmegaConf.load(CONF / "segment" / "shapes.yaml")
        small = {
            "learns": {"group": "base", "split": "train", "each": 6},
            "model": {
                "weights": f"{tmp_path}/unet.safetensors",
                "network": {"encoder_depth": 3, "decoder_channels": [8, 8, 8]},
                "input": {"size": 32},
            },
            "start": None,
            "schedule": {"phases": [{"size": 32, "epochs": 2}], "batch": 6},
            "gate": {"mean_iou": 0.0},
            "layers": ["encoder.relu", "encoder.layer1.1", "encoder.layer2.1", "decoder"],
            "questions": [{"of": "disc", "pixels": "all"}],
        }
        cfg.segment = OmegaConf.merge(cfg.segment, small, changed)
        return cfg

    return composed


def test_weights_losses_and_numbers(cfg, tmp_path):
    settings = cfg()
    numbers = segment(settings)
    assert numbers == json.loads((tmp_path / "unet.json").read_text())
    assert set(numbers["iou"]) == {"background", "cross", "disc"}
    assert numbers["pictures"] == 6
    assert 0 < numbers["mean_iou"] <= 1
    assert len(json.loads((tmp_path / "unet.losses.json").read_text())) == 2
    loaded = weights.load(settings.segment.model, torch.device("cpu"))
    assert loaded.classes == ["background", "cross", "disc"]
    assert loaded.network(torch.zeros(1, 3, 32, 32)).shape == (1, 3, 32, 32)
    assert not list(tmp_path.glob("*.checkpoint"))


def test_a_kill_changes_nothing(cfg, tmp_path, monkeypatch):
    settings = cfg()
    segment(settings)
    whole = load_file(tmp_path / "unet.safetensors")
    epochs, real = [], Trainer._epoch

    def stopping(self, *arguments):
        if epochs:
            raise KeyboardInterrupt
        epochs.append(arguments)
        return real(self, *arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):  # noqa: PT012
        patch.setattr(Trainer, "EVERY", 0)
        patch.setattr(Trainer, "_epoch", stopping)
        segment(settings)
    assert list(tmp_path.glob("*.checkpoint"))
    segment(settings)
    again = load_file(tmp_path / "unet.safetensors")
    assert all(torch.equal(again[name], whole[name]) for name in whole)


def test_an_encoder_begins_with_a_classifiers_weights(cfg, tmp_path):
    classifier = resnet18(num_classes=2)
    weights.save(tmp_path / "start.safetensors", "resnet18", classifier, ["cross", "disc"])
    network = begun(
        cfg(
            start=f"{tmp_path}/start.safetensors",
            model={"network": {"encoder_depth": 5, "decoder_channels": [8] * 5}},
        ),
        3,
    )
    assert torch.equal(network.encoder.layer4[1].conv2.weight, classifier.layer4[1].conv2.weight)


def test_below_the_gate_both_numbers_are_told(cfg):
    with pytest.raises(BadInput, match=r"mean_iou is 0\.\d{4}, and at least 1\.0100 is required"):
        segment(cfg(gate={"mean_iou": 1.01}))


def test_without_a_choice_the_way_out_is_named(config):
    with pytest.raises(BadInput, match=r"\+segment=shapes"):
        segment(config())


def test_the_figure_and_its_bytes(cfg, tmp_path):
    settings = cfg()
    segment(settings)
    found = json.loads(regions(settings).read_text())
    first = {path.name: path.read_bytes() for path in (tmp_path / "figures").iterdir()}
    assert sorted(first) == ["segmentation.json", "segmentation.pdf", "segmentation.png"]
    assert set(found["methods"]) == {
        "seggradcam",
        "seghirescam",
        "segxrescam",
        "naflow",
        "naflow_damped",
    }
    (answer,) = found["answers"]
    assert answer["count"] == 32 * 32
    assert answer["refused"] is None
    assert set(answer["inside"]["seghirescam"]) == set(found["layers"])
    assert {name for name, kept in answer["residuals"].items() if any(kept.values())} == {
        "naflow_damped"
    }
    regions(settings)
    assert first == {path.name: path.read_bytes() for path in (tmp_path / "figures").iterdir()}


@pytest.mark.parametrize("name", ["shapes", "horse", "camvid"])
def test_every_choice_composes(config, name):
    cfg = config(f"+segment={name}").segment
    assert {"images", "learns", "test", "targets", "model", "schedule", "gate"} <= set(cfg)
    assert cfg.model.weights == f"data/weights/{name}/unet_resnet18.safetensors"
