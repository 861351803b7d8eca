"""The rules of layer-wise relevance propagation (LRP) for one linear layer.

Every rule distributes the relevance R of the outputs to the inputs in proportion to terms x_p W_p:

    z = sum_p f(x_p, W_p)        R_in = sum_p x_p f^T(R / z, W_p)        0/0 := 0

The rules differ only in the pairs (x_p, W_p). x+ = max(0, x), x- = min(0, x).

    z+          (x+, W+), (x-, W-)              Bach et al. 2015 (alpha 1, beta 0)
    epsilon     (x, W), z + epsilon sign(z)     Bach et al. 2015
    box         (x, W), (-lo, W+), (-hi, W-)    z^B: Montavon et al. 2017, pixels in [lo, hi]
    flat        (1, 1)                          Lapuschkin 2019
    alpha-beta  alpha z+  -  beta z-            z-: (x+, W-), (x-, W+)
    contrast    z+  -  z-                       the last layer of CLRP2, see contrastive.py

Biases get no relevance. The sum of the relevance is conserved, except for what epsilon absorbs and
for neurons whose terms are all zero (as of a depthwise convolution over negative inputs); in the
last two rules, also for neurons whose negative terms are all zero.

Epsilon belongs to the rule epsilon, whose z leaves out the bias: R / z may be any size. Of sums and
averages z is the whole value, and before a ReLU R / z stays as it is where z goes to 0. There an
epsilon would absorb relevance where branches of either sign cancel, and for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from math import isfinite
from numbers import Real
from operator import add
from typing import Literal, get_args

import torch
from torch import Tensor

from naflow.errors import BadInput, is_one_of, near_names

Rule = Literal["z+", "epsilon", "box", "flat", "alpha-beta", "contrast"]
Operation = Callable[[Tensor, Tensor], Tensor]

#: The stabiliser of all but the rule epsilon, relative to the largest |z|: below rounding errors.
#: Enough for z+, box and flat: their terms have one sign, so z is 0 only if all are.
_TINY = 1e-12


@dataclass(frozen=True)
class Rules:
    """Which LRP rule every layer follows.

    conv, linear  the rule of convolutions and of fully connected layers
    first, last   the rule of the first and of the last layer with weights; None: as conv or linear
    batch_norm    "fuse": its scale joins the weights of the layer before it; "pass": relevance
                  passes unchanged. With z+ they differ only in channels of negative scale
    epsilon       of the rule epsilon, relative to the largest |z| of the layer
    alpha, beta   of the rule alpha-beta; alpha - beta = 1
    bounds        (lo, hi), the range of the pixels, for the rule box; None: of each image its own

    Raises BadInput for an unknown rule and for settings that do not conserve relevance.
    """

    conv: Rule = "z+"
    linear: Rule = "z+"
    first: Rule | None = "box"
    last: Rule | None = None
    batch_norm: Literal["fuse", "pass"] = "fuse"
    epsilon: float = 1e-6
    alpha: float = 2.0
    beta: float = 1.0
    bounds: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        for rule in (self.conv, self.linear, self.first, self.last):
            if rule is not None and not is_one_of(rule, get_args(Rule)):
                near = near_names(str(rule), get_args(Rule))
                raise BadInput(f"There is no LRP rule {rule!r}.{near}")
        if not is_one_of(self.batch_norm, ("fuse", "pass")):
            raise BadInput(f"batch_norm={self.batch_norm!r}: it is 'fuse' or 'pass'.")
        for name in ("epsilon", "alpha", "beta"):
            if not _number(value := getattr(self, name)):
                raise BadInput(f"{name}={value!r}: it must be a number.")
        if not self.epsilon > 0:
            raise BadInput(f"epsilon={self.epsilon}: it must be positive.")
        if abs(self.alpha - self.beta - 1) > 1e-6:
            raise BadInput(
                f"alpha={self.alpha} and beta={self.beta}: relevance is conserved only where "
                "alpha - beta = 1."
            )
        if self.bounds is None:
            return
        pair = isinstance(self.bounds, Sequence) and len(self.bounds) == 2
        if not pair or not all(map(_number, self.bounds)):
            raise BadInput(
                f"bounds={self.bounds!r}: give the lowest and the highest value of a pixel, as in "
                "bounds=(-2.1, 2.6)."
            )
        if not self.bounds[0] < self.bounds[1]:
            raise BadInput(f"bounds={self.bounds}: the lowest pixel value must come first.")

    def apply(self, rule: Rule, r: Tensor, x: Tensor, f: Operation, w: Tensor) -> Tensor:
        """Return the relevance of x, of its shape, from r, the relevance of f(x, w). f is linear in
        both arguments."""
        if rule == "epsilon":
            return share(r, f, [(x, w)], self.epsilon)
        if rule == "flat":
            return share(r, f, [(torch.ones_like(x), torch.ones_like(w))])
        if rule == "box":
            low, high = self._box(x)
            pairs = [(x, w), (-low, w.clamp(min=0)), (-high, w.clamp(max=0))]
            return share(r, f, pairs)
        positive = share(r, f, _of_sign(x, w, 1), None)
        if rule == "z+":
            return positive
        negative = share(r, f, _of_sign(x, w, -1), None)
        if rule == "contrast":
            return positive - negative
        return self.alpha * positive - self.beta * negative

    def _box(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if self.bounds is not None:
            low, high = self.bounds
            return torch.full_like(x, low), torch.full_like(x, high)
        over = tuple(range(1, x.ndim))
        low, high = x.amin(over, keepdim=True), x.amax(over, keepdim=True)
        return low.expand_as(x).contiguous(), high.expand_as(x).contiguous()


def _number(value: object) -> bool:
    return isinstance(value, Real) and isfinite(value)


def share(
    r: Tensor,
    f: Operation,
    pairs: Sequence[tuple[Tensor, Tensor]],
    epsilon: float | None = _TINY,
) -> Tensor:
    """Distribute the relevance r of z = sum_p f(x_p, W_p) to the x_p in proportion to their terms,
    and sum over p. epsilon: None if all terms of an output have one sign."""
    with torch.enable_grad():
        inputs = [x.detach().requires_grad_() for x, _ in pairs]
        z = reduce(add, [f(x, w) for x, (_, w) in zip(inputs, pairs, strict=True)])
        over = z.detach()
        weight = ratio_of_one_sign(r, over) if epsilon is None else ratio(r, over, epsilon)
        sent = torch.autograd.grad(z, inputs, weight)
    return reduce(add, [x.detach() * s for x, s in zip(inputs, sent, strict=True)])


def ratio(r: Tensor, z: Tensor, epsilon: float = _TINY) -> Tensor:
    """Return r / (z + epsilon sign(z) max|z|), with the maximum of each image; 0 where z = 0.

    Epsilon is relative to the layer's scale: an absolute one would absorb all relevance of a layer
    with small activations.
    """
    size = (epsilon * _largest(z)).clamp_min(_SMALLEST)
    # Multiplied, not selected by torch.where: that takes ten times as long.
    return r / (z + size.copysign(z)) * (z != 0)


def ratio_of_one_sign(r: Tensor, z: Tensor) -> Tensor:
    """Return r / z for z whose terms all have z's sign. Where z = 0, all terms are 0, so the value
    there does not matter."""
    sign = 1 if float(z.sum()) >= 0 else -1
    return r / (z + sign * (_TINY * _largest(z)).clamp_min(_SMALLEST))


_SMALLEST = 1e-20  # for a layer that is 0 everywhere


def _largest(z: Tensor) -> Tensor:
    """Return max|z| of each image, (B, 1, ...)."""
    over = tuple(range(1, z.ndim))
    return torch.maximum(z.amax(over, keepdim=True), -z.amin(over, keepdim=True))


def _of_sign(x: Tensor, w: Tensor, sign: int) -> list[tuple[Tensor, Tensor]]:
    """Return the pairs (x+, W of this sign), (x-, W of the other sign). The second is left out if
    no x is negative, as after a ReLU, which halves the cost."""

    def part(sign: int) -> Tensor:
        return w.clamp(min=0) if sign > 0 else w.clamp(max=0)

    if float(x.amin()) >= 0:
        return [(x, part(sign))]
    return [(x.clamp(min=0), part(sign)), (x.clamp(max=0), part(-sign))]
