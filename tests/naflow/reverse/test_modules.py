"""Encoder-decoders: every module that returns a map is a layer, and its gradient that of hooks."""

from __future__ import annotations

import pytest
import torch
from own_run import compare, own_run
from torch import Tensor, nn
from torch.nn import functional as F

from naflow import BadInput, NotFinite, UnsupportedModel
from naflow.explainers import SegGradCAM, SegHiResGradCAM
from naflow.scores import PixelSet


class UNet(nn.Module):
    """One long skip, an activation that runs twice, and a part that the score does not use."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.deep = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.up = nn.Sequential(nn.Conv2d(8, 4, 3, padding=1), nn.ReLU(inplace=True))
        self.act, self.head = nn.ReLU(), nn.Conv2d(4, 3, 1)
        self.extra = nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.act(self.down(x))
        deep = self.act(self.deep(F.max_pool2d(x, 2)))
        deep = F.interpolate(deep, scale_factor=2)
        return {"out": self.head(self.up(torch.cat([x, deep], 1))), "extra": self.extra(deep)}


@pytest.fixture
def images() -> Tensor:
    return torch.randn(2, 3, 8, 8, dtype=torch.float64)


EVERY = PixelSet(1, torch.ones(8, 8))


def test_layers_are_the_modules_that_the_score_uses(images: Tensor) -> None:
    model = UNet().double()
    calls = own_run(model, images, EVERY)
    for method, kind in ((SegHiResGradCAM, "hirescam"), (SegGradCAM, "gradcam")):
        flow = method(model)(images, EVERY)
        assert flow.layers == ["down", "act", "deep", "act#2", "up.0", "up.1", "head"]
        assert compare(flow, calls, kind, to=1e-9) == flow.layers
    last = SegHiResGradCAM(model, last="act#2")(images, EVERY)
    assert last.layers == flow.layers[:4]
    assert SegHiResGradCAM(model)(images, EVERY, layers=["up.1"]).layers == ["up.1"]
    assert SegHiResGradCAM(model)(images, EVERY, layers=[]).layers == []


def test_what_cannot_be_explained(images: Tensor) -> None:
    model = UNet().double()
    with pytest.raises(BadInput, match=r"no layer 'extra'"):
        SegGradCAM(model)(images, EVERY, layers=["extra"])
    with pytest.raises(BadInput, match="needs a class and its pixels"):
        SegGradCAM(model)(images)
    with pytest.raises(BadInput, match="does not depend on the images"):
        SegGradCAM(model)(images, lambda output: output["out"].detach().sum((1, 2, 3)))
    with torch.no_grad():
        model.deep.weight[0] = torch.inf
    with pytest.raises(NotFinite, match=r"layer 'deep' is NaN or infinite for images \[0, 1\]"):
        SegGradCAM(model)(images, EVERY)
    functional = nn.Module()
    functional.weight = nn.Parameter(torch.randn(3, 3, 1, 1).double())
    functional.forward = lambda x: F.conv2d(x, functional.weight)
    with pytest.raises(UnsupportedModel, match="No module of Module returns a feature map"):
        SegGradCAM(functional)(images, EVERY)
