"""Which neurons are abandoned on the way back, in addition to those without importance.

A rule takes a layer's importance coefficients (B, C, *size), as the layers above have left them,
its activation, and whether it is the last layer, above which nothing was abandoned; it gives what
it leaves: 0 importance where a neuron is abandoned.
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


Rule = Callable[[Tensor, Tensor, bool], Left]

CHANCE = 2.0  # `doubtful`: how many times what random signs give


def used(importance: Tensor) -> Tensor:
    """1 where the importance is not 0, else 0, as its own type: a product with it is several times
    faster than a choice by a mask."""
    return importance.sign().abs_()


def opposing(importance: Tensor, activation: Tensor, last: bool = False) -> Left:
    """Abandon what speaks against the score, and with it as much of what speaks for it.

    With the contributions c_k = alpha_k x_k of a place's channels, p and n the sums of the positive
    and of the negative ones, neurons of c_k <= 0 are abandoned and the others keep the share
    a = max(p - n, 0) / p of their importance. So a place's contributions add up to what they did,
    where that was positive, and a place that speaks against the score passes nothing on: the net
    evidence of a layer is shared out among its layer below, as relevance is. Ours, not the paper's.
    """
    return _agreed(importance, activation, 1)


def disputed(importance: Tensor, activation: Tensor, last: bool = False) -> Left:
    """As `opposing`, and what is left counts by how far a place's channels agree: a is squared.

    Where p and n nearly cancel, their difference is mostly chance, and there is much of it: most
    places of a map are of no matter to the score. What is left is scaled, image by image, so that
    it adds up to what `opposing` would leave: else it underflows within fifty layers. Ours, not the
    paper's.
    """
    return _agreed(importance, activation, 2)


def doubtful(importance: Tensor, activation: Tensor, last: bool = False) -> Left:
    """As `opposing`, and what is left counts by how far it is beyond chance.

    A place whose contributions c_k had random signs would have a net evidence e = p - n of about
    s = sqrt(sum_k c_k^2). At the last layer a place must have more than CHANCE times that:
    a (1 - CHANCE^2 s^2 / e^2) is left of it, nothing where that is negative (the positive-part
    James-Stein estimator). So a class for which nothing speaks is answered by maps of zeros. Below,
    where channels can be few and a true class must not be lost, it is a e^2 / (e^2 + CHANCE^2 s^2),
    never zero. Scaled image by image as in `disputed`. Ours, not the paper's.
    """

    def beyond(contribution: Tensor, net: Tensor) -> Tensor:
        # Squares of ratios: of tiny contributions those themselves would underflow.
        chance = (contribution / net).square_().sum(1, keepdim=True).mul_(CHANCE**2)
        kept = (1 - chance).relu_() if last else 1 / (1 + chance)
        return torch.where(net > 0, kept, 0.0)

    return _agreed(importance, activation, 1, beyond)


def _agreed(
    importance: Tensor,
    activation: Tensor,
    power: int,
    beyond: Callable[[Tensor, Tensor], Tensor] = lambda contribution, net: net.new_ones(()),
) -> Left:
    """beyond: the share of a place (B, 1, *size) that is no chance, from all contributions and from
    its net evidence, which is 0 where it speaks against the score."""
    # One tensor of this size, changed in place: they are larger than a cache.
    left = importance * activation
    net = left.sum(1, keepdim=True).relu_()
    certain = beyond(left, net)
    speaks_for = left.relu_().sum(1, keepdim=True)
    agreement = _ratio(net, speaks_for).pow(power).mul_(certain)
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
RULES: dict[str, Rule | None] = {
    "unused": None,
    "opposing": opposing,
    "disputed": disputed,
    "doubtful": doubtful,
}
