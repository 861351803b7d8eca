"""The rules of layer-wise relevance propagation (LRP) for one linear layer.

Every rule shares the relevance R of the outputs among the inputs in proportion to terms x_p W_p:

    z = sum_p f(x_p, W_p)        R_in = sum_p x_p f^T(R / z, W_p)        0/0 := 0

and the rules differ in the pairs (x_p, W_p) alone. x+ = max(0, x), x- = min(0, x).

    z+          (x+, W+), (x-, W-)              Bach et al. 2015 (alpha 1, beta 0)
    epsilon     (x, W), epsilon sign(z) added   Bach et al. 2015
    box         (x, W), (-lo, W+), (-hi, W-)    z^B: Montavon et al. 2017, pixels in [lo, hi]
    flat        (1, 1)                          Lapuschkin 2019
    alpha-beta  alpha z+  -  beta z-            z-: (x+, W-), (x-, W+)
    contrast    z+  -  z-                       the last layer of CLRP2, see contrastive.py

Biases take no part. The sum of the relevance is kept but for what epsilon absorbs and for neurons
all of whose terms are zero (a depthwise convolution over negative inputs, say), or all negative
terms in the last two rules.
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

_TINY = 1e-12  # the terms of z+, box and flat have one sign: only an exact zero divides badly


@dataclass(frozen=True)
class Rules:
    """Which rule every layer follows.

    conv, linear  the rule of convolutions and of fully connected layers
    first, last   another rule for the first and for the last layer that has weights; None: as conv
                  or linear
    batch_norm    "fuse": its scale joins the weights of the layer before it; "pass": relevance
                  passes unchanged. Under z+ they differ in channels of negative scale only
    epsilon       of the rule epsilon, of averages and of the split at skip additions; relative to
                  the largest |z| of the layer
    alpha, beta   of the rule alpha-beta, alpha - beta = 1
    bounds        (lo, hi) of the pixels, for box; None: the extremes of each image

    Raises BadInput for a rule that is not known and settings that conserve nothing.
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
        """The relevance of x, of its shape, from that of f(x, w), r; f is linear in both."""
        if rule == "epsilon":
            return share(r, f, [(x, w)], self.epsilon)
        if rule == "flat":
            return share(r, f, [(torch.ones_like(x), torch.ones_like(w))], _TINY)
        if rule == "box":
            low, high = self._box(x)
            pairs = [(x, w), (-low, w.clamp(min=0)), (-high, w.clamp(max=0))]
            return share(r, f, pairs, _TINY)
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
    r: Tensor, f: Operation, pairs: Sequence[tuple[Tensor, Tensor]], epsilon: float | None
) -> Tensor:
    """Relevance r of sum_p f(x_p, W_p), shared among the x_p in proportion, summed over p; no
    epsilon: all terms have one sign."""
    with torch.enable_grad():
        inputs = [x.detach().requires_grad_() for x, _ in pairs]
        z = reduce(add, [f(x, w) for x, (_, w) in zip(inputs, pairs, strict=True)])
        over = z.detach()
        weight = ratio_of_one_sign(r, over) if epsilon is None else ratio(r, over, epsilon)
        sent = torch.autograd.grad(z, inputs, weight)
    return reduce(add, [x.detach() * s for x, s in zip(inputs, sent, strict=True)])


def ratio(r: Tensor, z: Tensor, epsilon: float) -> Tensor:
    """R / (z + epsilon sign(z) max|z|), the maximum that of each image; 0 where z = 0.

    Relative to the layer's scale: an absolute epsilon takes all relevance of a layer of small
    activations.
    """
    size = (epsilon * _largest(z)).clamp_min(_SMALLEST)
    # Products: a choice that cannot be foreseen takes ten times as long.
    return r / (z + size.copysign(z)) * (z != 0)


def ratio_of_one_sign(r: Tensor, z: Tensor) -> Tensor:
    """R / z, where every term of z has z's sign: where z = 0, all of them are 0, and whatever is
    sent there comes to nothing."""
    sign = 1 if float(z.sum()) >= 0 else -1
    return r / (z + sign * (_TINY * _largest(z)).clamp_min(_SMALLEST))


_SMALLEST = 1e-20  # a layer that is 0 everywhere


def _largest(z: Tensor) -> Tensor:
    """max|z| of each image, (B, 1, ...)."""
    over = tuple(range(1, z.ndim))
    return torch.maximum(z.amax(over, keepdim=True), -z.amin(over, keepdim=True))


def _of_sign(x: Tensor, w: Tensor, sign: int) -> list[tuple[Tensor, Tensor]]:
    """The pairs (x+, W of this sign), (x-, W of the other); the second left out where no x is
    negative, as after a ReLU: it halves the cost."""

    def part(sign: int) -> Tensor:
        return w.clamp(min=0) if sign > 0 else w.clamp(max=0)

    if float(x.amin()) >= 0:
        return [(x, part(sign))]
    return [(x.clamp(min=0), part(sign)), (x.clamp(max=0), part(-sign))]
