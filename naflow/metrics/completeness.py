"""Completeness: at every layer, the score is what passes the layer plus what is added behind it.

For a piecewise linear model and a score linear in its output, exactly

    S = sum g_l * x_l  +  sum over the operations m behind layer l of  sum g_m * b_m

with g the gradients and b_m the constant that an operation adds to its output: a bias, of a batch
norm the shift b - g mean / sqrt(var + eps), of a clamp the bounds where it clips.
Srinivas and Fleuret, Full-gradient representation for neural network visualization, NeurIPS 2019.
The identity tests gradients and cut points. If it fails, something is not piecewise linear.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from naflow.metrics.answers import checked
from naflow.reverse.descent import gradients
from naflow.reverse.record import check_score
from naflow.run.cut import cut, upstream
from naflow.run.operation import Operation, Value
from naflow.run.preserve import preserved
from naflow.run.run import Inputs, run
from naflow.scores import Score

_AFFINE = (
    "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
    "linear", "batch_norm", "add", "sub", "rsub",
)  # fmt: skip
_CLAMPS = ("relu6", "hardtanh", "clamp")


class Balance(NamedTuple):
    """The terms of the identity at one layer, (B,) float64 each: score = signal + shifts."""

    score: Tensor
    signal: Tensor
    shifts: Tensor

    @property
    def error(self) -> Tensor:
        """(B,) |score - signal - shifts| over the largest magnitude of the three."""
        largest = torch.stack(self).abs().amax(0)
        missing = (self.score - self.signal - self.shifts).abs()
        return missing / largest.where(largest > 0, 1)


def completeness(
    model: nn.Module, images: Tensor, score: Score, *, inputs: Inputs = ()
) -> dict[str, Balance]:
    """Return the balance at the input and every cut point, shallow to deep, by one forward and one
    reverse pass.

    Rounding leaves an error of about 1e-6 in float32, 1e-14 in float64. Raises BadInput for a score
    that is not (B,) or does not depend on the images, UnsupportedModel for a model that gives no
    gradient with respect to them.
    """
    with torch.inference_mode(False), preserved(model):
        ran = run(model, images, inputs)
        with torch.enable_grad():
            value = score(ran.output)
        check_score(value, ran)
        total = checked(value, len(images)).detach()
        chain = cut(ran, ran.behind(value))
        points = {"input": ran.images} | {unit.name: unit.result for unit in chain.units}
        shifts = [
            (operation, shift)
            for operation in upstream(ran, ran.behind(value))
            if (shift := _shift(operation)) is not None
        ]
        places = [*points.values(), *(operation.results[0] for operation, _ in shifts)]
        grads = gradients(value, places, torch.ones_like(value))
    added = [
        (operation.results[0].number, _sum(g * shift))
        for (operation, shift), g in zip(shifts, grads[len(points) :], strict=True)
    ]
    balances = {}
    for (name, point), g in zip(points.items(), grads, strict=False):
        behind = sum(
            (term for place, term in added if place > point.number), torch.zeros_like(total)
        )
        balances[name] = Balance(total, _sum(g * point.tensor()), behind)
    return balances


@torch.no_grad()
def _shift(operation: Operation) -> Tensor | None:
    """Return the constant part of an operation: of an affine one its output for zeros, of a clamp
    its output minus slope * input, with autograd's slope, also at a bound. None for others."""
    if operation.name in _AFFINE:
        return operation.again(_zero)[0]
    if operation.name in _CLAMPS and len(operation.inputs) == 1:
        with torch.enable_grad():
            x = operation.inputs[0].tensor().requires_grad_()
            out = operation.again(lambda _: x)[0]
            return (out - torch.autograd.grad(out.sum(), x)[0] * x).detach()
    return None


def _zero(value: Value) -> Tensor:
    """Return zeros in the shape of a value, with one row: all images have the same constant."""
    return torch.zeros(1, *value.shape[1:], dtype=value.dtype, device=value.device)


def _sum(terms: Tensor) -> Tensor:
    return terms.detach().double().flatten(1).sum(1)
