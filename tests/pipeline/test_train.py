"""The stage: weights, metrics, and the check on accuracy."""

import json

import pytest
import torch

from naflow.errors import BadInput
from pipeline import weights
from pipeline.train import train


def test_one_epoch_writes_weights_and_metrics(config, tmp_path):
    cfg = config()
    train(cfg)
    classifier = weights.load(cfg.model, torch.device("cpu"))
    assert classifier.classes == ["cross", "disc"]
    assert not classifier.network.training
    metrics = json.loads((tmp_path / "weights.json").read_text())
    assert metrics["test"]["pictures"] == 6
    assert set(metrics["val"]["classes"]) == {"cross", "disc"}
    assert metrics["seed"] == 0
    assert "torch" in metrics["versions"]
    assert {p.name for p in tmp_path.iterdir()} == {"weights.json", "weights.safetensors"}


def test_too_low_an_accuracy_fails_with_both_numbers_and_writes_no_weights(config, tmp_path):
    with pytest.raises(
        BadInput,
        match=r"accuracy [01]\.\d{3} on the 6 test pictures of 'shapes' .* required 1\.010",
    ):
        train(config("model.train.required=1.01"))
    assert not (tmp_path / "weights.safetensors").exists()
    assert (tmp_path / "weights.json").exists()


def test_published_weights_are_not_trained(config):
    with pytest.raises(BadInput, match="no train section"):
        train(config("model=mobilenet_v2", "model.labels=x"))


def test_photographs(config, photographs, tmp_path):
    cfg = config(
        "images=folder",
        f"images.root={photographs}",
        "images.index=index.csv",
        "+images.select.subset=pets31",
        "images.splits={train: eval, val: null, test: eval}",
    )
    train(cfg)
    metrics = json.loads((tmp_path / "weights.json").read_text())
    assert metrics["test"]["pictures"] == 31
    assert "val" not in metrics
