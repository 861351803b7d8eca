"""Weights: a round trip, and one sentence for every file that does not fit."""

import pytest
import torch
from omegaconf import OmegaConf
from torchvision.models import resnet18

from naflow.errors import BadInput
from pipeline import weights

CPU = torch.device("cpu")


def model(path, labels=None, network="torchvision.models.resnet18"):
    return OmegaConf.create(
        {"network": {"_target_": network}, "weights": str(path), "labels": labels}
    )


def test_round_trip_keeps_weights_classes_and_bytes(tmp_path):
    network = resnet18(num_classes=3)
    for name in ("a", "b"):
        weights.save(tmp_path / f"{name}.safetensors", network, ["x", "y", "z"])
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    loaded = weights.load(model(tmp_path / "a.safetensors"), CPU)
    assert loaded.classes == ["x", "y", "z"]
    assert not loaded.network.training
    for name, value in loaded.network.state_dict().items():
        torch.testing.assert_close(value, network.state_dict()[name], atol=0, rtol=0)


def test_a_state_dict_in_half_precision_with_a_file_of_labels(tmp_path):
    torch.save(resnet18(num_classes=2).half().state_dict(), tmp_path / "w.pt")
    (tmp_path / "labels.txt").write_text("cat\ndog\n")
    loaded = weights.load(model(tmp_path / "w.pt", tmp_path / "labels.txt"), CPU)
    assert loaded.classes == ["cat", "dog"]
    assert loaded.network.fc.weight.dtype == torch.float32


def test_what_does_not_fit(tmp_path):
    with pytest.raises(BadInput, match=r"there is no such file\. Train it"):
        weights.load(model(tmp_path / "none.safetensors"), CPU)
    for ending in ("safetensors", "pt"):
        (tmp_path / f"bad.{ending}").write_bytes(b"not weights")
        with pytest.raises(BadInput, match="damaged or no file of weights"):
            weights.load(model(tmp_path / f"bad.{ending}"), CPU)
    torch.save(resnet18(num_classes=2).state_dict(), tmp_path / "w.pt")
    with pytest.raises(BadInput, match="does not name its classes"):
        weights.load(model(tmp_path / "w.pt"), CPU)
    (tmp_path / "labels.txt").write_text("a\nb\nc\n")
    with pytest.raises(
        BadInput, match=r"does not fit torchvision.models.resnet18 with 3 classes.*fc.weight"
    ):
        weights.load(model(tmp_path / "w.pt", tmp_path / "labels.txt"), CPU)
    with pytest.raises(BadInput, match=r"model.labels=.*no such file"):
        weights.load(model(tmp_path / "w.pt", tmp_path / "lost.txt"), CPU)
