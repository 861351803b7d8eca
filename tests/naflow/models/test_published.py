"""Published checkpoints, built here in exactly their layouts, and the real ones where present."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from conftest import shared
from torch import Tensor, nn

from naflow import BadInput, models
from naflow.models import published


def scrambled(name: str, **settings: object) -> dict[str, Tensor]:
    """A state dict of distinct values."""
    state = models.create(name, **settings).state_dict()
    return {k: torch.randn(v.shape) if v.is_floating_point() else v for k, v in state.items()}


def parallel(state: dict[str, Tensor]) -> OrderedDict[str, Tensor]:
    """As torch 0.4 and before write a network trained in parallel: no batch counters."""
    return OrderedDict(
        (f"module.{k}", v) for k, v in state.items() if not k.endswith("num_batches_tracked")
    )


def assert_loads(name: str, path: Path, state: dict[str, Tensor]) -> None:
    loaded = models.create(name, path).state_dict()
    assert loaded.keys() == state.keys()
    for key, value in state.items():
        assert torch.equal(loaded[key], value), key


def test_a_plain_state_dict(tmp_path: Path) -> None:
    state = scrambled("resnet18")
    torch.save(OrderedDict(state), tmp_path / "resnet18.pth")
    assert_loads("resnet18", tmp_path / "resnet18.pth", state)


@pytest.mark.parametrize("name", ["resnet50_cbam", "resnet50_bam"])
def test_attention_module(name: str, tmp_path: Path) -> None:
    state = scrambled(name)
    content = {"epoch": -1, "arch": "resnet50", "state_dict": parallel(state), "best_prec1": 0}
    path = tmp_path / "RESNET50.pth.tar"
    torch.save(content, path, _use_new_zipfile_serialization=False)
    assert_loads(name, path, state)


def test_names_are_those_of_the_published_gates() -> None:
    cbam = models.create("resnet50_cbam").state_dict()
    assert cbam["layer1.0.cbam.ChannelGate.mlp.1.weight"].shape == (16, 256)
    assert cbam["layer4.2.cbam.ChannelGate.mlp.3.bias"].shape == (2048,)
    assert cbam["layer1.0.cbam.SpatialGate.spatial.conv.weight"].shape == (1, 2, 7, 7)
    assert cbam["layer1.0.cbam.SpatialGate.spatial.bn.weight"].shape == (1,)
    bam = models.create("resnet50_bam").state_dict()
    assert bam["bam1.channel_att.gate_c.gate_c_fc_0.weight"].shape == (16, 256)
    assert bam["bam2.channel_att.gate_c.gate_c_bn_1.running_var"].shape == (32,)
    assert bam["bam3.channel_att.gate_c.gate_c_fc_final.bias"].shape == (1024,)
    assert bam["bam1.spatial_att.gate_s.gate_s_conv_reduce0.bias"].shape == (16,)
    assert bam["bam1.spatial_att.gate_s.gate_s_bn_reduce0.bias"].shape == (16,)
    assert bam["bam1.spatial_att.gate_s.gate_s_conv_di_1.weight"].shape == (16, 16, 3, 3)
    assert bam["bam1.spatial_att.gate_s.gate_s_bn_di_0.weight"].shape == (16,)
    assert bam["bam3.spatial_att.gate_s.gate_s_conv_final.weight"].shape == (1, 64, 1, 1)


@pytest.mark.parametrize("old_numpy", [True, False])
def test_vissl_keeps_numpy_arrays(old_numpy: bool, tmp_path: Path) -> None:
    state = scrambled("resnet18_npid")  # smaller, and read by the same rules as the published 50
    arrays = {f"_feature_blocks.{k}": v.numpy() for k, v in state.items()}
    path = tmp_path / "npid.torch"
    torch.save({"model_state_dict": arrays}, path, _use_new_zipfile_serialization=False)
    if old_numpy:
        path.write_bytes(
            path.read_bytes().replace(b"numpy._core.multiarray\n", b"numpy.core.multiarray\n")
        )
    assert_loads("resnet18_npid", path, state)


def test_vissl_without_its_last_layer_says_so(tmp_path: Path) -> None:
    state = scrambled("resnet18_npid")
    arrays = {f"_feature_blocks.{k}": v.numpy() for k, v in state.items() if k[:2] != "fc"}
    torch.save({"model_state_dict": arrays}, tmp_path / "npid.torch")
    with pytest.raises(BadInput, match=r"it lacks fc\.weight, fc\.bias"):
        models.create("resnet18_npid", tmp_path / "npid.torch")


def test_multi_similarity_drops_the_unused_layer(tmp_path: Path) -> None:
    state = scrambled("resnet50_ms")
    names = {
        (f"head.{k}" if k.startswith("fc.") else f"backbone.model.{k}"): v for k, v in state.items()
    }
    unused = {"backbone.model.fc.weight": torch.zeros(2), "backbone.model.fc.bias": torch.zeros(2)}
    torch.save({"model": names | unused, "optimizer": {}}, tmp_path / "best_model.pth")
    assert_loads("resnet50_ms", tmp_path / "best_model.pth", state)


def test_two_names_for_one_tensor_are_refused(tmp_path: Path) -> None:
    torch.save({"fc.bias": torch.zeros(1), "module.fc.bias": torch.ones(1)}, tmp_path / "w.pt")
    with pytest.raises(BadInput, match=r"holds 'fc\.bias' twice"):
        published.read(tmp_path / "w.pt", "resnet18")


@pytest.mark.parametrize("wrong", [torch.nan, torch.inf])
def test_weights_that_are_not_finite_are_refused(wrong: float, tmp_path: Path) -> None:
    state = scrambled("conv64f")
    state["block2.bn.running_var"][3] = wrong
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(BadInput, match=r"NaN or infinity is in block2\.bn\.running_var"):
        models.create("conv64f", tmp_path / "w.pt")


@pytest.mark.parametrize("content", [[1, 2], {}, {"epoch": 3}, {"state_dict": {"a": 1}}])
def test_what_is_no_checkpoint(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(BadInput, match=r"is no checkpoint: its tensors are expected"):
        published.read(tmp_path / "w.pt", "resnet18")


# --- the real files ------------------------------------------------------------------------------


def dn4_by_hand(state: dict[str, Tensor], bias: bool) -> nn.Module:
    """DN4's network as its file numbers the layers: LeakyReLU 0.2, pools at 3 and 7."""
    layers: list[nn.Module] = []
    for i in range(4):
        layers.append(nn.Conv2d(3 if i == 0 else 64, 64, 3, padding=1, bias=bias))
        layers += [nn.BatchNorm2d(64), nn.LeakyReLU(0.2)]
        layers += [nn.MaxPool2d(2)] if i < 2 else []
    network = nn.Sequential(*layers)
    network.load_state_dict({k.replace("features.", ""): v for k, v in state.items()})
    return network.eval()


@pytest.mark.parametrize(("year", "entry"), [(2019, "state_dict"), (2023, "model")])
@pytest.mark.parametrize("shots", [1, 5])
def test_dn4(year: int, entry: str, shots: int, tmp_path: Path) -> None:
    path = shared("weights", "dn4", f"dn4_{year}_conv64f_{shots}shot.pth.tar")
    theirs = dn4_by_hand(
        torch.load(path, map_location="cpu", weights_only=True)[entry], bias=year == 2023
    )
    models.convert("conv64f", path, tmp_path / "dn4.safetensors")
    images = torch.randn(2, 3, 84, 84)
    for source in (path, tmp_path / "dn4.safetensors"):
        with torch.no_grad():
            torch.testing.assert_close(
                models.create("conv64f", source)(images), theirs(images).flatten(1)
            )


@pytest.mark.parametrize("shots", [1, 5])
def test_protonet(shots: int) -> None:
    path = shared("weights", "protonet_conv4", f"miniimagenet_proto-{shots}_max-acc.pth")
    blocks = [
        nn.Sequential(
            nn.Conv2d(3 if i == 0 else 64, 64, 3, padding=1),
            nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2),
        )
        for i in range(4)
    ]  # fmt: skip
    theirs = nn.ModuleDict({"encoder": nn.Sequential(*blocks)})
    theirs.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    images = torch.randn(2, 3, 84, 84)
    with torch.no_grad():
        expected = theirs.eval()["encoder"](images).flatten(1)
        torch.testing.assert_close(models.create("conv4net", path)(images), expected)


def test_a_file_of_another_network() -> None:
    path = shared("weights", "dn4", "dn4_2023_conv64f_1shot.pth.tar")
    with pytest.raises(BadInput, match=r"does not fit conv4net.*another network"):
        models.create("conv4net", path)
