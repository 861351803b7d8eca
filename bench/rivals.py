"""Methods of other libraries, called as their users call them, for bench.flow; zennit's relevance
at every layer, for bench.precision and the tests of LRP."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot
from torchvision.models import ResNet


class GradCAMBlockByBlock:
    """pytorch-grad-cam's Grad-CAM of every block (or of every convolution if there are no blocks),
    with one call per map, as the library gives one map per call."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        modules = list(model.modules())
        blocks = [one for one in modules if type(one).__name__ in ("BasicBlock", "Bottleneck")]
        self.layers = blocks or [one for one in modules if isinstance(one, nn.Conv2d)]

    def __call__(self, images: Tensor) -> None:
        from pytorch_grad_cam import GradCAM

        for layer in self.layers:
            with GradCAM(model=self.model, target_layers=[layer]) as cam:
                cam(images, targets=None)  # of the predicted class


class Zennit:
    """zennit's relevance of the pixels: one map, rules epsilon and z+, batch norms merged."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def __call__(self, images: Tensor) -> None:
        from zennit.attribution import Gradient
        from zennit.canonizers import SequentialMergeBatchNorm
        from zennit.composites import EpsilonPlus
        from zennit.torchvision import ResNetCanonizer

        residual = isinstance(self.model, ResNet)
        merged = ResNetCanonizer() if residual else SequentialMergeBatchNorm()
        with Gradient(self.model, EpsilonPlus(canonizers=[merged])) as attributor:
            attributor(images, lambda output: one_hot(output.argmax(1), output.shape[1]).to(output))


#: zennit's stabiliser, too small to matter beside rounding errors.
TINY = 1e-12


def zennits_layers(
    model: nn.Module, images: Tensor, layers: Sequence[str], start: Tensor, *, fc: str = "z+"
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return each layer's output, as zennit runs the model, and relevance, both (B, C, h, w).

    start  the relevance at the output (B, N)
    fc     the rule of linear layers, "z+" or "epsilon"; convolutions have z+, biases are left out,
           batch norms are merged. The eps of batch norms must be 0: zennit applies it twice
    """
    from zennit.canonizers import SequentialMergeBatchNorm
    from zennit.composites import LayerMapComposite
    from zennit.layer import Sum
    from zennit.rules import Epsilon, Norm, Pass, ZPlus
    from zennit.torchvision import ResNetCanonizer
    from zennit.types import Activation, AvgPool, BatchNorm, Convolution, Linear

    def plus() -> ZPlus:
        return ZPlus(zero_params="bias", stabilizer=TINY)

    rules = [
        (Activation, Pass()),
        (Sum, Norm(stabilizer=TINY)),
        (AvgPool, Norm(stabilizer=TINY)),
        (BatchNorm, Pass()),
        (Convolution, plus()),
        (Linear, plus() if fc == "z+" else Epsilon(epsilon=TINY, zero_params="bias")),
    ]
    canonizer = ResNetCanonizer() if isinstance(model, ResNet) else SequentialMergeBatchNorm()
    with LayerMapComposite(rules, canonizers=[canonizer]).context(model) as modified:
        inputs = images.clone().requires_grad_()
        found = outputs(model, layers, lambda: torch.autograd.backward(modified(inputs), start))
    relevance = {name: x.grad for name, x in found.items() if x.grad is not None}
    return {name: x.detach() for name, x in found.items()}, relevance


def outputs(
    model: nn.Module, layers: Sequence[str], run: Callable[[], object]
) -> dict[str, Tensor]:
    """Return the outputs of a model's layers in a run; those with gradients retain them."""
    found: dict[str, Tensor] = {}

    def keep(name: str) -> Callable:
        def hook(layer: nn.Module, given: tuple, output: Tensor) -> None:
            if output.requires_grad:
                output.retain_grad()
            found[name] = output

        return hook

    hooks = [model.get_submodule(name).register_forward_hook(keep(name)) for name in layers]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    return found
