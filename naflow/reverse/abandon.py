"""Which neurons are abandoned on the way back, in addition to those without importance.

A rule takes a layer's importance coefficients (B, C, *size), as the layers above have left them,
and its activation, and gives what it leaves: 0 importance where a neuron is abandoned.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Left(NamedTuple):
    """What a rule leaves of a layer.

    importance  (B, C, *size), which the layer passes on
    evidence    (B, *size) sum_k alpha_k x_k of it
    share       (B,) of the layer's neurons, float64
    """

    importance: Tensor
    evidence: Tensor
    share: Tensor


Rule = Callable[[Tensor, Tensor], Left]


def used(importance: Tensor) -> Tensor:
    """1 where the importance is not 0, else 0, as its own type: a product with it is several times
    faster than a choice by a mask."""
    return importance.sign().abs_()


def opposing(importance: Tensor, activation: Tensor) -> Left:
    """Abandon what speaks against the score, and with it as much of what speaks for it.

    With the contributions c_k = alpha_k x_k of a place's channels, p and n the sums of the positive
    and of the negative ones, neurons of c_k <= 0 are abandoned and the others keep the share
    a = max(p - n, 0) / p of their importance. So a place's contributions add up to what they did,
    where that was positive, and a place that speaks against the score passes nothing on: the net
    evidence of a layer is shared out among its layer below, as relevance is. Ours, not the paper's.
    """
    return _agreed(importance, activation, 1)


def disputed(importance: Tensor, activation: Tensor) -> Left:
    """As `opposing`, and what is left counts by how far a place's channels agree: a is squared.

    Where p and n nearly cancel, their difference is mostly chance, and there is much of it: most
    places of a map are of no matter to the score. What is left is scaled, image by image, so that
    it adds up to what `opposing` would leave: else it underflows within fifty layers. Ours, not the
    paper's.
    """
    return _agreed(importance, activation, 2)


def _agreed(importance: Tensor, activation: Tensor, power: int) -> Left:
    # One tensor of this size, changed in place: they are larger than a cache.
    left = importance * activation
    net = left.sum(1, keepdim=True).relu_()
    speaks_for = left.relu_().sum(1, keepdim=True)
    agreement = _ratio(net, speaks_for).pow(power)
    agreement = agreement * _ratio(_total(net), _total(speaks_for * agreement))
    neurons = left.sign_().sum(1, keepdim=True) * (agreement > 0)
    share = neurons.flatten(1).sum(1).double() / importance[0].numel()
    left.mul_(importance).mul_(agreement)
    return Left(left, (speaks_for * agreement)[:, 0], share)


def _total(evidence: Tensor) -> Tensor:
    """The sum over all places of an image, to broadcast."""
    return evidence.sum(tuple(range(1, evidence.ndim)), keepdim=True)


def _ratio(a: Tensor, b: Tensor) -> Tensor:
    return torch.where(b > 0, a / b, 0.0)


#: By their names in InverseConfig.abandon; "unused" is the paper's, importance 0 and nothing else.
RULES: dict[str, Rule | None] = {"unused": None, "opposing": opposing, "disputed": disputed}
