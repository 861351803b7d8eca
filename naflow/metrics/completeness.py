"""Where a score comes from, at every layer: what passes the layer, and what is added behind it.

For a piecewise linear model and a score linear in its output,

    S = sum g_l * x_l  +  sum over the operations m behind layer l of  sum g_m * b_m

exactly: g the gradients, b_m the constant that an operation adds to its output, which is a bias, of
a batch norm the shift b - g mean / sqrt(var + eps), of a clamp the bounds that it puts in place.
Srinivas and Fleuret, Full-gradient representation for neural network visualization, NeurIPS 2019.
The identity tests gradients and cut points; where it fails, something is not piecewise linear.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from naflow.chain import Chain
from naflow.errors import BadInput
from naflow.metrics.answers import checked
from naflow.preserve import preserved
from naflow.scores import Score
from naflow.trace import function_name

_AFFINE = (
    "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
    "linear", "batch_norm", "add", "iadd", "radd", "sub", "isub", "rsub",
)  # fmt: skip
_CLAMPS = ("relu6", "hardtanh", "clamp")


class Balance(NamedTuple):
    """One layer's sides of the identity, (B,) float64 each: score = signal + shifts."""

    score: Tensor
    signal: Tensor
    shifts: Tensor

    @property
    def error(self) -> Tensor:
        """(B,) |score - signal - shifts| over the largest of the three."""
        largest = torch.stack(self).abs().amax(0)
        missing = (self.score - self.signal - self.shifts).abs()
        return missing / largest.where(largest > 0, 1)


def completeness(chain: Chain, images: Tensor, score: Score) -> dict[str, Balance]:
    """The balance of the input and every cut point, shallow to deep; one forward and reverse pass.

    chain: ChainCache(model).chain(images), made inside preserved(model). Rounding leaves an error
    of about 1e-6 in float32, 1e-14 in float64. Raises BadInput for a score that is not (B,) or does
    not depend on the images.
    """
    written = _Shifts()
    with preserved(chain.model), torch.enable_grad():
        images = images.detach().requires_grad_()
        with written:
            activations, _, output = chain.forward(images)
        value = score(output)
        total = checked(value, len(images)).detach()
        if not value.requires_grad:
            raise BadInput("The score does not depend on the images: nothing to add up.")
        points = [images, *activations]
        gradients = torch.autograd.grad(
            value.sum(),
            [*points, *(out for _, out, _ in written.shifts)],
            allow_unused=True,
            materialize_grads=True,
        )
    signals = [_sum(g * x.detach()) for g, x in zip(gradients, points, strict=False)]
    added = [
        (place, _sum(g * shift))
        for (place, _, shift), g in zip(written.shifts, gradients[len(points) :], strict=True)
    ]
    found = {}
    for name, x, signal in zip(
        ["input", *(unit.name for unit in chain.units)], points, signals, strict=False
    ):
        here = written.places.get(id(x), 0)
        behind = sum((term for place, term in added if place > here), torch.zeros_like(total))
        found[name] = Balance(total, signal, behind)
    return found


class _Shifts(TorchFunctionMode):
    """Inside: writes down what every operation on data adds, and the order of the operations.

    shifts: (place in the order, output, constant that broadcasts to it); places: of each output, by
    its identity. Outputs are kept, so that an identity is never given twice.
    """

    def __init__(self) -> None:
        super().__init__()
        self.shifts: list[tuple[int, Tensor, Tensor]] = []
        self.places: dict[int, int] = {}
        self._outputs: list[Tensor] = []

    def __torch_function__(
        self, func: Callable, types: object, args: tuple = (), kwargs: dict | None = None
    ) -> object:
        args, kwargs = tree_map(_constant, (args, kwargs or {}))
        shift = _shift(function_name(func).strip("_"), func, args, kwargs)
        out = func(*args, **kwargs)
        if not isinstance(out, Tensor) or not out.requires_grad:
            return out
        place = len(self._outputs) + 1
        if shift is not None:
            self.shifts.append((place, out, shift))
            out = out.clone()  # what follows may be in place, and the gradient is wanted here
        self._outputs.append(out)
        self.places.setdefault(id(out), place)
        return out


def _shift(name: str, func: Callable, args: tuple, kwargs: dict) -> Tensor | None:
    """The constant part of an operation: what an affine one gives for zeros, and what a clamp gives
    beside slope * input. The slope is autograd's, also where the input is at a bound."""
    if name in _AFFINE:
        with torch.no_grad():
            args, kwargs = tree_map(_zero, (args, kwargs))
            return func(*args, **kwargs)
    if name in _CLAMPS and args and isinstance(args[0], Tensor):
        x = args[0].detach().requires_grad_()
        out = func(x.clone(), *args[1:], **kwargs)
        return (out - torch.autograd.grad(out.sum(), x)[0] * x).detach()
    return None


def _constant(value: object) -> object:
    """A parameter without its gradient: of what is left, only data depend on the images."""
    return value.detach() if isinstance(value, nn.Parameter) else value


def _zero(value: object) -> object:
    """Data at zero, one row of it: the rows of a batch have the same constant."""
    is_data = isinstance(value, Tensor) and value.requires_grad
    return torch.zeros_like(value[:1], requires_grad=False) if is_data else value


def _sum(terms: Tensor) -> Tensor:
    return terms.detach().double().flatten(1).sum(1)
