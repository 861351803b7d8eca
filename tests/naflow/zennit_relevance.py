"""Zennit's relevance at named modules: the oracle of the tests of LRP."""

from __future__ import annotations

import torch
import torchvision
from networks import randomised
from torch import Tensor, nn
from zennit.canonizers import SequentialMergeBatchNorm
from zennit.composites import LayerMapComposite
from zennit.layer import Sum
from zennit.rules import Epsilon, Norm, Pass, ZPlus
from zennit.torchvision import ResNetCanonizer
from zennit.types import Activation, AvgPool, BatchNorm, Convolution, Linear

_TINY = 1e-12


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
    no_bias = {"zero_params": "bias", "stabilizer": _TINY}
    linear = ZPlus(**no_bias) if fc == "z+" else Epsilon(epsilon=_TINY, zero_params="bias")
    rules = [
        (Activation, Pass()),
        (Sum, Norm(stabilizer=_TINY)),
        (AvgPool, Norm(stabilizer=_TINY)),
        (BatchNorm, Pass()),
        (Convolution, ZPlus(**no_bias)),
        (Linear, linear),
    ]
    residual = hasattr(model, "layer1")
    canonizer = ResNetCanonizer() if residual else SequentialMergeBatchNorm()
    kept: dict[str, Tensor] = {}

    def keep(name: str):
        def hook(_, __, output: Tensor) -> None:
            output.retain_grad()
            kept[name] = output

        return hook

    with LayerMapComposite(rules, canonizers=[canonizer]).context(model) as modified:
        hooks = [model.get_submodule(n).register_forward_hook(keep(n)) for n in layers]
        output = modified(images.clone().requires_grad_())
        torch.autograd.backward(output, start)
        for hook in hooks:
            hook.remove()
    return {name: x.grad for name, x in kept.items()}
