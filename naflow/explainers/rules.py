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
from typing import Literal, get_args

import torch
from torch import Tensor

from naflow.errors import BadInput, near_names

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
            if rule is not None and rule not in get_args(Rule):
                raise BadInput(f"There is no LRP rule {rule!r}.{near_names(rule, get_args(Rule))}")
        if self.batch_norm not in ("fuse", "pass"):
            raise BadInput(f"batch_norm={self.batch_norm!r}: it is 'fuse' or 'pass'.")
        if not self.epsilon > 0:
            raise BadInput(f"epsilon={self.epsilon}: it must be positive.")
        if abs(self.alpha - self.beta - 1) > 1e-6:
            raise BadInput(
                f"alpha={self.alpha} and beta={self.beta}: relevance is conserved only where "
                "alpha - beta = 1."
            )
        if self.bounds is not None and not self.bounds[0] < self.bounds[1]:
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
        positive = share(r, f, _signed(x, w.clamp(min=0), w.clamp(max=0)), _TINY)
        if rule == "z+":
            return positive
        negative = share(r, f, _signed(x, w.clamp(max=0), w.clamp(min=0)), _TINY)
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


def share(
    r: Tensor, f: Operation, pairs: Sequence[tuple[Tensor, Tensor]], epsilon: float
) -> Tensor:
    """Relevance r of sum_p f(x_p, W_p), shared among the x_p in proportion, summed over p."""
    with torch.enable_grad():
        inputs = [x.detach().requires_grad_() for x, _ in pairs]
        z = torch.stack([f(x, w) for x, (_, w) in zip(inputs, pairs, strict=True)]).sum(0)
        sent = torch.autograd.grad(z, inputs, ratio(r, z.detach(), epsilon))
    terms = [x.detach() * s for x, s in zip(inputs, sent, strict=True)]
    return torch.stack(terms).sum(0)


def ratio(r: Tensor, z: Tensor, epsilon: float) -> Tensor:
    """R / (z + epsilon sign(z) max|z|), the maximum that of each image; 0 where z = 0.

    Relative to the layer's scale: an absolute epsilon takes all relevance of a layer of small
    activations.
    """
    size = epsilon * z.abs().amax(tuple(range(1, z.ndim)), keepdim=True)
    nothing = (z == 0).to(z)  # products: a choice that cannot be foreseen takes ten times as long
    return r / (z + size.copysign(z) + nothing) * (1 - nothing)


def _signed(x: Tensor, positive: Tensor, negative: Tensor) -> list[tuple[Tensor, Tensor]]:
    """The pairs (x+, positive), (x-, negative); the second left out where no x is negative, as
    after a ReLU: it halves the cost."""
    if not bool((x < 0).any()):
        return [(x, positive)]
    return [(x.clamp(min=0), positive), (x.clamp(max=0), negative)]
