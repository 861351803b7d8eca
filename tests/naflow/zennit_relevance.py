"""Zennit's relevance at named modules: the oracle of the tests of LRP."""

from __future__ import annotations

import torchvision
from networks import randomised
from torch import Tensor, nn

from bench.rivals import zennits_layers


def network(name: str) -> nn.Module:
    """A network of torchvision with 7 classes, a VGG with a small classifier."""
    model = getattr(torchvision.models, name)(num_classes=7)
    if name.startswith("vgg"):
        model.avgpool = nn.Identity()
        model.classifier = nn.Sequential(nn.Linear(2048, 32), nn.ReLU(), nn.Linear(32, 7))
    return model


def prepared(model: nn.Module) -> nn.Module:
    """In double precision, for comparisons to 1e-4: a sum a + b near 0 amplifies rounding. Batch
    norms have eps = 0, which zennit applies twice once they are merged."""
    model = randomised(model).eval().double()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 0.0
        if getattr(module, "inplace", False):
            module.inplace = False
    return model


def relevance(
    model: nn.Module, images: Tensor, layers: list[str], start: Tensor, *, fc: str = "z+"
) -> dict[str, Tensor]:
    """layer -> (B, C, h, w); z+ for convolutions, z+ or epsilon for linear layers, no biases."""
    return zennits_layers(model, images, layers, start, fc=fc)[1]
