"""Least-squares inverse of a convolution and of any locally affine unit (Eqs 5-10)."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from naflow.errors import UnsupportedModel
from naflow.inverses.inverse import ForwardUnit, Inverse, relative
from naflow.inverses.jacobian import UnitJacobian
from naflow.inverses.normalization import mixes_samples
from naflow.linalg import Convolution, LinearOperator, RowSelection, Solution, lsmr
from naflow.presets import InverseConfig
from naflow.run.cut import Unit


class Conv(Inverse):
    """A convolution with any stride, padding, dilation and groups: J is the convolution itself."""

    families = ("conv1d", "conv2d", "conv3d")
    description = "least squares (convolution)"
    iterative = True

    def __call__(self, unit: ForwardUnit, target: Tensor, config: InverseConfig) -> Solution:
        conv = unit.arguments
        operator = Convolution(
            conv["weight"], unit.input.shape, stride=conv["stride"], padding=conv["padding"],
            dilation=conv["dilation"], groups=conv["groups"],
        )  # fmt: skip
        bias = 0.0
        if conv["bias"] is not None:
            bias = conv["bias"].detach().view(1, -1, *[1] * (target.ndim - 2))
        return least_squares(operator, unit, target - bias, config)


class Affine(Inverse):
    """Any other unit, by its local affine map: exact within one linear region of a ReLU network.

    J v and J^T u are taken at the forward input (UnitJacobian); J is not formed. Raises
    UnsupportedModel if the unit, run again, does not give its recorded output.
    """

    description = "least squares (local affine map)"
    iterative = True

    def matches(self, unit: Unit) -> bool:
        return not any(map(mixes_samples, unit.operations))

    def __call__(self, unit: ForwardUnit, target: Tensor, config: InverseConfig) -> Solution:
        x = unit.input
        operator = UnitJacobian(unit.unit, x)
        if not config.in_place:  # in_place changes the recorded activations
            _check_same(unit, operator.value)
        if config.offset == "zero":
            with torch.no_grad():
                offset = unit(torch.zeros_like(x))
        else:
            offset = operator.value - operator.mv(x)
        return least_squares(operator, unit, target - offset, config)


def _check_same(unit: ForwardUnit, value: Tensor) -> None:
    scale = unit.output.abs().amax().clamp_min(1e-30)
    if not bool(((value - unit.output).abs().amax() <= 1e-3 * scale).item()):
        raise UnsupportedModel(
            f"The layers up to '{unit.unit.name}' gave another result when they were run again on "
            "the same input: something in them is random (dropout that is always on) or keeps a "
            "state. Their inverse is unknown; a preset that solves nothing, 'selective', and every "
            "method by gradients explain the run that happened."
        )


def least_squares(
    operator: LinearOperator, unit: ForwardUnit, target: Tensor, config: InverseConfig
) -> Solution:
    """Solve argmin_x || P (J x - t) ||^2 + damping^2 s^2 || x - a ||^2, with target t = z~ - c.

    P selects the equations that `config` keeps. s is the largest singular value of P J, estimated
    for each sample by six steps of bidiagonalisation from t (a lower bound). The damping must be
    finite; for infinite damping see Anchored.
    """
    start = unit.input if config.anchor == "forward" else None
    first = _first_equations(unit) if config.truncate else None
    kept = unit.kept if config.drop_abandoned else None
    if first is not None:
        operator, target = RowSelection(operator, first), target.masked_fill(~first, 0)
    wanted = target
    if kept is not None:
        operator, wanted = RowSelection(operator, kept), target.masked_fill(~kept, 0)
        # In the authors' code, dropped equations keep their right-hand side: a constant that no x
        # changes, but that counts in their solver's stopping rule.
        target = target if config.in_place else wanted
    solution = lsmr(
        operator,
        target,
        start=start,
        relative_damping=config.damping,
        tol=config.tol,
        max_iterations=config.max_iterations or min(unit.input[0].numel(), unit.output[0].numel()),
    )
    if wanted is target:
        return solution
    left = operator.mv(solution.value) - wanted
    return replace(solution, residual=relative(left, wanted))


def _first_equations(unit: ForwardUnit) -> Tensor | None:
    """Return a mask of the first n outputs in (C, H, W) order, n the number of inputs; None if
    there are at most n."""
    inputs, outputs = unit.input[0].numel(), unit.output[0].numel()
    if outputs <= inputs:
        return None
    first = torch.arange(outputs, device=unit.output.device) < inputs
    return first.view(unit.output.shape[1:]).expand_as(unit.output)
