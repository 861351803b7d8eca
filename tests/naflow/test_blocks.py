"""One map a block: which layers of a flow are the ends of stages and blocks."""

from __future__ import annotations

import pytest
import torch
import torchvision
from networks import Residual

from naflow import models
from naflow.blocks import MOST, block_ends
from naflow.explainers import LayerCAM


def sizes(text: str) -> dict[str, tuple[int, int]]:
    """ "conv1:8 bn1:8" as names and sizes."""
    pairs = (word.rsplit(":", 1) for word in text.split())
    return {name: (int(side), int(side)) for name, side in pairs}


def flow(network: torch.nn.Module, size: int = 64):
    return LayerCAM(network.eval())(torch.randn(1, 3, size, size))


@pytest.mark.parametrize(
    ("layers", "ends"),
    [
        ("", []),
        ("conv:8", ["conv"]),
        # operations beside each other: from a convolution to what is done to its output
        ("conv1:8 bn1:8 relu1:8 conv2:8 bn2:8 relu2:8", ["relu1", "relu2"]),
        ("pad:9 conv1:8 relu1:8 pool:4 conv2:4 relu2:4", ["relu1", "relu2"]),
        # only numbered: as long as the resolution stays
        ("features.0:8 features.1:8 features.2:4 features.3:4 features.4:4 features.5:2", None),
        # a block with its operations, and one that is a unit of its own
        ("f.0.0:8 f.0.1:8 f.0:8 f.1:8 f.2.conv.0:8 f.2.conv.1:4 f.2:4", ["f.0", "f.1", "f.2"]),
        # a batch norm and an activation behind a block belong to it, a padding is nobody's end
        ("dense1:8 dense2:4 norm:4 relu:4", ["dense1", "relu"]),
        ("stages.0.conv.pad:9 stages.0.conv:8 stages.1.conv.pad:8", ["stages.0.conv"]),
    ],
)
def test_ends(layers: str, ends: list[str] | None) -> None:
    wanted = ["features.1", "features.4", "features.5"] if ends is None else ends
    assert block_ends(sizes(layers)) == wanted


def test_a_residual_network() -> None:
    found = flow(torchvision.models.resnet18())
    assert found.blocks == ["relu", *[f"layer{s}.{b}" for s in (1, 2, 3, 4) for b in (0, 1)]]


def test_of_many_blocks_the_last_of_every_stage_and_twelve_in_all() -> None:
    found = flow(torchvision.models.resnet50()).blocks
    assert len(found) == MOST
    assert {"relu", "layer1.2", "layer2.3", "layer3.5", "layer4.2"} <= set(found)


def test_the_real_network() -> None:
    stages = [f"stages.{s}.{b - 1}" for s, b in enumerate((1, 2, 2, 3, 3, 4, 1))]
    assert flow(models.create("efficientnet_lite0")).blocks == ["stem", *stages, "head"]


#: Names whose last part says padding, norm, dropout or identity.
NOBODY = ("pad", "norm", "bn", "drop", "identity")
ZOO = ("vgg11_bn", "densenet121", "mobilenet_v2", "efficientnet_b0", "regnet_y_400mf")
ZOO += ("shufflenet_v2_x1_0", "squeezenet1_1", "convnext_tiny", "mobilenet_v3_small")


@pytest.mark.parametrize("name", ZOO)
def test_the_zoo(name: str) -> None:
    """Every resolution is there, in order, at most twelve, and never a padding or norm."""
    network = getattr(torchvision.models, name)()
    found = flow(network, 96)
    ends = found.blocks
    assert 5 <= len(ends) <= MOST
    assert ends == [layer for layer in found.layers if layer in ends]
    modules = dict(network.named_modules())
    for end in ends:
        assert not isinstance(
            modules.get(end), (torch.nn.BatchNorm2d, torch.nn.ZeroPad2d, torch.nn.Dropout)
        ), end
    assert not any(end.split(".")[-1].rstrip("0123456789") in NOBODY for end in ends)


def test_a_network_of_ones_own_and_layers_asked_for() -> None:
    found = LayerCAM(Residual().eval())(torch.randn(1, 3, 32, 32), layers=["conv1"])
    assert found.blocks == ["conv1"]
