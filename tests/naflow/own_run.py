"""What hooks and torch.autograd.grad find in a model's own run: the oracle of every recorded run.

A hook notes what a module returned as it was then, and its place in the autograd graph: nothing of
the run changes, in-place operations included.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge

from naflow.flow import Flow


class Seen(NamedTuple):
    """What a module returned in one of its calls, and the score's gradient there."""

    activation: Tensor
    gradient: Tensor

    @property
    def hirescam(self) -> Tensor:
        return (self.gradient * self.activation).sum(1).relu()

    @property
    def gradcam(self) -> Tensor:
        space = tuple(range(2, self.gradient.ndim))
        return (self.gradient.mean(space, keepdim=True) * self.activation).sum(1).relu()


def own_run(
    model: nn.Module, images: Tensor, score: Callable[..., Tensor], *inputs: object
) -> dict[str, list[Seen]]:
    """Path of a module -> its calls in order, of the score (B,) of one run in evaluation mode.

    Where the score does not use what a module returned, its gradient is zero.
    """
    noted: list[tuple[str, Tensor, GradientEdge]] = []

    def note(path: str) -> Callable[..., None]:
        def hook(module: nn.Module, given: tuple, output: object) -> None:
            if isinstance(output, Tensor) and output.grad_fn is not None:
                edge = GradientEdge(output.grad_fn, output.output_nr)
                noted.append((path, output.detach().clone(), edge))

        return hook

    hooks = [m.register_forward_hook(note(p)) for p, m in model.named_modules() if p]
    modes = [(m, m.training) for m in model.modules()]
    try:
        value = score(model.eval()(images.clone().requires_grad_() * 1, *inputs))
        found = torch.autograd.grad(value.sum(), [edge for *_, edge in noted], allow_unused=True)
    finally:
        for hook in hooks:
            hook.remove()
        for module, training in modes:
            module.training = training
    calls: dict[str, list[Seen]] = {}
    for (path, x, _), g in zip(noted, found, strict=True):
        calls.setdefault(path, []).append(Seen(x, torch.zeros_like(x) if g is None else g.detach()))
    return calls


def compare(
    flow: Flow, calls: dict[str, list[Seen]], kind: str = "hirescam", to: float = 1e-5
) -> list[str]:
    """Assert that every map of a module is that of one of its calls, to a share of its largest
    value; returns the layers that were compared."""
    compared = []
    for name, found in flow:
        seen = calls.get(name.split("#")[0])
        if seen is None:
            continue
        maps = [m for call in seen if (m := getattr(call, kind)).shape == found.shape]
        assert maps, name
        apart = [float((m - found).abs().max() / m.abs().max().clamp_min(1e-30)) for m in maps]
        assert min(apart) <= to, (name, min(apart))
        compared.append(name)
    return compared
