"""Inverses of element-wise activations (Eqs 12, 13), and of layers that only move values."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from naflow.inverses.inverse import ForwardUnit, Inverse, closed_form
from naflow.linalg import Solution
from naflow.presets import InverseConfig
from naflow.run.cut import Unit


class Identity(Inverse):
    """Operations that only change the shape: the values pass through."""

    families = (
        "flatten", "unflatten", "view", "reshape", "view_as", "reshape_as", "squeeze", "unsqueeze",
        "contiguous", "clone",
    )  # fmt: skip
    description = "passes through"

    def __call__(self, unit: ForwardUnit, target: Tensor, config: InverseConfig) -> Solution:
        return closed_form(target.reshape(unit.input.shape))


class Rearrangement(Inverse):
    """Permutations of the values: moved back, by the transposed Jacobian."""

    families = (
        "permute", "transpose", "swapaxes", "swapdims", "movedim", "moveaxis", "flip", "roll",
        "pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "native_channel_shuffle",
    )  # fmt: skip
    description = "moved back"

    def __call__(self, unit: ForwardUnit, target: Tensor, config: InverseConfig) -> Solution:
        with torch.enable_grad():
            x = unit.input.detach().requires_grad_()
            return closed_form(torch.autograd.grad(unit(x), x, target)[0])


class Rectifier(Inverse):
    """ReLU and clipping (Eq. 12): x = y where the forward input lay in the linear piece, else the
    neuron is abandoned (0)."""

    families = ("relu", "relu6", "hardtanh", "clamp")
    description = "y where it was open, else abandoned"

    def __call__(self, unit: ForwardUnit, target: Tensor, config: InverseConfig) -> Solution:
        low, high = _open_piece(unit)
        opened = (unit.input > low) & (unit.input < high)
        return closed_form(target * opened)


def _open_piece(unit: ForwardUnit) -> tuple[Any, Any]:
    """Return the bounds of the linear piece."""
    given = unit.arguments
    if unit.name == "relu":
        return 0.0, math.inf
    if unit.name == "relu6":
        return 0.0, 6.0
    if unit.name == "hardtanh":
        return given["min_val"], given["max_val"]
    low, high = given["min"], given["max"]
    return -math.inf if low is None else low, math.inf if high is None else high


class Leaky(Inverse):
    """LeakyReLU, PReLU, RReLU (Eq. 13): x = y where the input was positive, else y / slope. A
    neuron is abandoned only if its slope is 0."""

    families = ("leaky_relu", "prelu", "rrelu")
    description = "y, or y / slope"

    def __call__(self, unit: ForwardUnit, target: Tensor, config: InverseConfig) -> Solution:
        slope = _slope(unit)
        return closed_form(torch.where(slope != 0, target / slope, 0.0))


class Smooth(Inverse):
    """Other activations: the exact inverse if one exists and z~ lies in its range, else the local
    slope.

    With the local slope d = phi'(x) each neuron is an affine unit, and the least-squares problem of
    InverseConfig has the closed form x~ = a + d (z~ - c - d a) / (d^2 + damping^2 s^2), s the
    sample's largest |d|. Where |d| <= RCOND s, x~ = a.
    """

    families = (
        "sigmoid", "tanh", "elu", "celu", "selu", "softplus", "softsign", "logsigmoid", "silu",
        "gelu", "mish", "hardswish", "hardsigmoid", "tanhshrink", "hardshrink", "softshrink",
        "threshold",
    )  # fmt: skip
    RCOND = 1e-4

    def describe(self, unit: Unit) -> str:
        return "exact inverse" if unit.kind in _EXACT else "local slope"

    def __call__(self, unit: ForwardUnit, target: Tensor, config: InverseConfig) -> Solution:
        x, y = unit.input, unit.output
        slope = _slope(unit)
        largest = slope.abs().flatten(1).amax(1).view(-1, *[1] * (x.ndim - 1))
        anchor = x if config.anchor == "forward" else torch.zeros_like(x)
        # z~ - c - d a, with c = y - d x
        gap = target - y + slope * (x - anchor)
        ridge = (config.damping * largest).square()
        passed = slope.abs() > self.RCOND * largest
        step = torch.where(passed, slope * gap / (slope.square() + ridge), 0.0)
        value = anchor + step
        exact = _EXACT.get(unit.name)
        if exact is not None and math.isfinite(config.damping):
            inverse = exact(unit.arguments, target)
            value = torch.where(inverse.isfinite(), inverse, value)
            return closed_form(value, unit(value) - target, target)
        offset = y - slope * x
        return closed_form(value, slope * value + offset - target, target - offset)


def _slope(unit: ForwardUnit) -> Tensor:
    """Return phi'(x) of each element."""
    with torch.enable_grad():
        x = unit.input.detach().requires_grad_()
        return torch.autograd.grad(unit(x).sum(), x)[0]


def _elu(alpha: float, scale: float = 1.0) -> Callable[[Tensor], Tensor]:
    """Return the inverse of scale * (x if x > 0 else alpha (e^x - 1)); outside the range it gives
    NaN or infinity."""
    return lambda y: torch.where(y > 0, y / scale, torch.log1p(y / (scale * alpha)))


_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805

#: Monotone activation -> its inverse, from its arguments and y; outside the range it gives NaN or
#: infinity.
_EXACT: dict[str, Callable[[dict[str, Any], Tensor], Tensor]] = {
    "sigmoid": lambda a, y: torch.logit(y),
    "tanh": lambda a, y: torch.atanh(y),
    "elu": lambda a, y: _elu(a["alpha"])(y),
    "celu": lambda a, y: torch.where(y > 0, y, a["alpha"] * torch.log1p(y / a["alpha"])),
    "selu": lambda a, y: _elu(_SELU_ALPHA, _SELU_SCALE)(y),
    "softplus": lambda a, y: torch.where(
        y * a["beta"] > a["threshold"], y, torch.log(torch.expm1(y * a["beta"])) / a["beta"]
    ),
    "softsign": lambda a, y: torch.where(y.abs() < 1, y / (1 - y.abs()), math.nan),
    "logsigmoid": lambda a, y: -torch.log(torch.expm1(-y)),
}
