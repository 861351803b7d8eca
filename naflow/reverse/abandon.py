"""Rules that abandon neurons in the reverse pass, in addition to those of importance 0.

A rule is called as rule(importance, activation, last) with a layer's importance coefficients
alpha and its activation x, both (B, C, *size); last: whether this is the last layer, the first that
the reverse pass reaches. It returns a `Left`, whose importance is 0 at abandoned neurons.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Left(NamedTuple):
    """What a rule keeps of a layer.

    importance  (B, C, *size), that the layer passes on to the layer below
    evidence    (B, *size), sum_k alpha_k x_k with this importance
    share       (B,) float64, the share of the layer's neurons that are kept
    """

    importance: Tensor
    evidence: Tensor
    share: Tensor


Rule = Callable[[Tensor, Tensor, bool], Left]

CHANCE = 2.0  # `doubtful`: the net evidence that is needed, in units of that of random signs


def used(importance: Tensor) -> Tensor:
    """Return 1 where the importance is not 0, else 0, in the importance's dtype: to multiply by it
    is several times faster than to select by a mask."""
    return importance.sign().abs_()


def opposing(importance: Tensor, activation: Tensor, last: bool = False) -> Left:
    """Abandon neurons of negative contribution, and reduce the others of the same place by as much.

    With the contributions c_k = alpha_k x_k of the channels at one place, p the sum of the positive
    and n that of the negated negative ones, neurons of c_k <= 0 are abandoned and the others keep
    the share a = max(p - n, 0) / p of their importance. So the contributions of a place still add
    up to p - n where that is positive, and a place with p <= n passes nothing on: the net evidence
    of a layer is distributed over the layer below, as relevance is in LRP. Ours, not the paper's.
    """
    return _agreed(importance, activation, 1)


def disputed(importance: Tensor, activation: Tensor, last: bool = False) -> Left:
    """As `opposing`, with a squared: places whose channels disagree are weakened further.

    Where p and n nearly cancel, their difference is mostly chance, and such places are many: most
    places of a map do not matter to the score. The importance is scaled, image by image, so that
    the contributions add up to those that `opposing` keeps; otherwise it would underflow within
    fifty layers. Ours, not the paper's.
    """
    return _agreed(importance, activation, 2)


def doubtful(importance: Tensor, activation: Tensor, last: bool = False) -> Left:
    """As `opposing`, weakened where the net evidence could be chance.

    If the contributions c_k of a place had random signs, its net evidence e = p - n would be about
    s = sqrt(sum_k c_k^2). At the last layer a place keeps the share a (1 - CHANCE^2 s^2 / e^2) of
    its positive contributions, and nothing if e <= CHANCE s (the positive-part James-Stein
    estimator). So a class without evidence gets maps of zeros. At the layers below, where there may
    be few channels and a true class must not be lost, the share is
    a e^2 / (e^2 + CHANCE^2 s^2), never 0 where e > 0. Scaled image by image as in `disputed`. Ours,
    not the paper's.
    """

    def beyond(contribution: Tensor, net: Tensor) -> Tensor:
        # Divide first, then square: the squares of tiny contributions would underflow.
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
    """Keep a^power * beyond(contribution, net) of the positive contributions.

    beyond  the share (B, 1, *size) of a place that is beyond chance, of its contributions
            (B, C, *size) and its net evidence max(p - n, 0), (B, 1, *size)
    """
    # A single tensor of this size, changed in place: it is larger than the processor's cache.
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
    """Return the sum over all places of each image, with axes of length 1 to broadcast."""
    return evidence.sum(tuple(range(1, evidence.ndim)), keepdim=True)


def _ratio(a: Tensor, b: Tensor) -> Tensor:
    """Return a / b where b > 0, else 0."""
    return torch.where(b > 0, a / b, 0.0)


#: InverseConfig.abandon -> rule. "unused", the paper's, abandons only neurons of importance 0.
RULES: dict[str, Rule | None] = {
    "unused": None,
    "opposing": opposing,
    "disputed": disputed,
    "doubtful": doubtful,
}
