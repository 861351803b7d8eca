"""Inverses of element-wise activations (Eqs 12, 13), and of layers that change nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from naflow.config import InverseConfig
from naflow.inverses.inverse import ForwardUnit, Inverse, closed_form
from naflow.linalg import Solution


class Identity(Inverse):
    """Dropout (evaluation), identity, flatten: passes through."""

    families = (
        nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout,
        nn.FeatureAlphaDropout, nn.Flatten, nn.Unflatten,
    )  # fmt: skip
    description = "passes through"

    def __call__(self, unit: ForwardUnit, target: Tensor, config: InverseConfig) -> Solution:
        return closed_form(target.reshape(unit.input.shape))


class Rectifier(Inverse):
    """ReLU and its clipped kin (Eq. 12): x = y where the forward input lay in the open linear
    piece, else abandoned (0)."""

    families = (nn.ReLU, nn.ReLU6, nn.Hardtanh)
    description = "y where it was open, else abandoned"

    def __call__(self, unit: ForwardUnit, target: Tensor, config: InverseConfig) -> Solution:
        low, high = _open_piece(unit.module)
        opened = (unit.input > low) & (unit.input < high)
        return closed_form(target * opened)


def _open_piece(module: nn.Module) -> tuple[float, float]:
    if isinstance(module, nn.Hardtanh):  # ReLU6 is one
        return float(module.min_val), float(module.max_val)
    return 0.0, math.inf


class Leaky(Inverse):
    """LeakyReLU, PReLU, RReLU (Eq. 13): x = y where the input was positive, else y / slope.
    Nothing is abandoned, but where the slope is 0."""

    families = (nn.LeakyReLU, nn.PReLU, nn.RReLU)
    description = "y, or y / slope"

    def __call__(self, unit: ForwardUnit, target: Tensor, config: InverseConfig) -> Solution:
        slope = _slope(unit)
        return closed_form(torch.where(slope != 0, target / slope, 0.0))


class Smooth(Inverse):
    """Other activations: the exact inverse where one exists and z~ lies in its range, else the
    local slope.

    With the local slope d = phi'(x) the neuron is an affine unit of its own, and the same problem
    as for a convolution has the closed form x~ = a + d (z~ - c - d a) / (d^2 + damping^2 s^2), s
    the sample's largest |d|. Undamped, a slope below RCOND s lets nothing pass: x~ = a.
    """

    families = (
        nn.Sigmoid, nn.Tanh, nn.ELU, nn.CELU, nn.SELU, nn.Softplus, nn.Softsign, nn.LogSigmoid,
        nn.SiLU, nn.GELU, nn.Mish, nn.Hardswish, nn.Hardsigmoid, nn.Tanhshrink, nn.Hardshrink,
        nn.Softshrink, nn.Threshold,
    )  # fmt: skip
    RCOND = 1e-4

    def describe(self, module: nn.Module) -> str:
        return "exact inverse" if type(module) in _EXACT else "local slope"

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
        exact = _EXACT.get(type(unit.module))
        if exact is not None and math.isfinite(config.damping):
            inverse = exact(unit.module, target)
            value = torch.where(inverse.isfinite(), inverse, value)
            return closed_form(value, unit.module(value) - target, target)
        offset = y - slope * x
        return closed_form(value, slope * value + offset - target, target - offset)


def _slope(unit: ForwardUnit) -> Tensor:
    """phi'(x), element by element."""
    with torch.enable_grad():
        x = unit.input.detach().requires_grad_()
        return torch.autograd.grad(unit.module(x).sum(), x)[0]


def _elu(alpha: float, scale: float = 1.0) -> Callable[[Tensor], Tensor]:
    """Inverse of scale * (y > 0 ? x : alpha (e^x - 1)); NaN or infinite outside the range."""
    return lambda y: torch.where(y > 0, y / scale, torch.log1p(y / (scale * alpha)))


_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805

#: The inverse of a monotone activation; values outside its range come back NaN or infinite.
_EXACT: dict[type[nn.Module], Callable[[Any, Tensor], Tensor]] = {
    nn.Sigmoid: lambda m, y: torch.logit(y),
    nn.Tanh: lambda m, y: torch.atanh(y),
    nn.ELU: lambda m, y: _elu(m.alpha)(y),
    nn.CELU: lambda m, y: torch.where(y > 0, y, m.alpha * torch.log1p(y / m.alpha)),
    nn.SELU: lambda m, y: _elu(_SELU_ALPHA, _SELU_SCALE)(y),
    nn.Softplus: lambda m, y: torch.where(
        y * m.beta > m.threshold, y, torch.log(torch.expm1(y * m.beta)) / m.beta
    ),
    nn.Softsign: lambda m, y: torch.where(y.abs() < 1, y / (1 - y.abs()), math.nan),
    nn.LogSigmoid: lambda m, y: -torch.log(torch.expm1(-y)),
}
