"""Deletion of a layer's own neurons: they are set to a neutral value, and the model runs on.

No map is upsampled and no picture is changed, so this tests what a method says of the neurons.
contributions (B, C, h, w), of either sign, are the terms that a method sums over channels: for
HiResCAM importance * activation, for Grad-CAM mean(importance) * activation, for NAFlow importance
* bpfm. After pixel flipping, Samek et al., IEEE TNNLS 28(11), 2017.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from naflow.errors import BadInput
from naflow.finite import not_finite
from naflow.metrics.answers import checked
from naflow.metrics.ranking import ranks
from naflow.perturb.ablation import Onward
from naflow.reverse.record import Record
from naflow.scores import Score, settled

SHARES = tuple(k / 20 for k in range(21))


class Rest:
    """The model from a layer on, a callable: removed neurons, boolean (B, C, h, w) -> the score
    (B,), float64.

    record   of one run over the images, naflow.reverse.record.record(model, images, score), made
             inside preserved(model); it is consumed
    layer    a feature map of the record
    score    of the model's output; by default the recorded one, with its class fixed
    neutral  value of a removed neuron, a number or (C, 1, 1); by default the running mean if only a
             batch norm reads the layer (0 has no meaning there), else 0

    Raises BadInput for an unknown layer or a neutral value that does not fit it.
    """

    def __init__(
        self,
        record: Record,
        layer: str,
        *,
        score: Score | None = None,
        neutral: Tensor | float | None = None,
    ) -> None:
        record.check([layer])
        self._onward = Onward(record.chain, layer)
        point = record.at(layer)
        self.activation, self.importance = point.activation, point.importance
        self._score = settled(record.question, record.output) if score is None else score
        value = _mean_before_norm(self._onward) if neutral is None else neutral
        self.neutral = torch.as_tensor(value).to(self.activation)
        if self.neutral.ndim and self.neutral.shape != (self.activation.shape[1], 1, 1):
            raise BadInput(
                f"neutral has shape {tuple(self.neutral.shape)}: layer '{layer}' needs a number "
                f"or ({self.activation.shape[1]}, 1, 1)."
            )

    def __call__(self, removed: Tensor) -> Tensor:
        changed = torch.where(removed, self.neutral, self.activation)
        return checked(self._score(self._onward(changed)), len(removed))


class Causal(NamedTuple):
    """Relative changes |f' - f| / |f| of the score f, (B,) each; NaN if no neuron is abandoned.

    abandoned  after removing all abandoned neurons
    used       after removing as many used neurons
    """

    abandoned: Tensor
    used: Tensor


def in_layer_deletion(
    rest: Rest, contributions: Tensor, *, shares: Sequence[float] = SHARES, seed: int = 0
) -> Tensor:
    """Return the scores (B, shares), float64, after removing these shares of the neurons, those of
    largest |contribution| first, ties at random by the seed. A smaller `area_under` is better.

    A row is NaN if all its contributions are zero. Raises BadInput for contributions that do not
    fit the layer, and shares outside [0, 1].
    """
    if contributions.shape != rest.activation.shape:
        raise BadInput(
            f"contributions have shape {tuple(contributions.shape)}: the layer has "
            f"{tuple(rest.activation.shape)}."
        )
    if not all(0 <= share <= 1 for share in shares):
        raise BadInput(f"shares={shares}: they are shares of the neurons, from 0 to 1.")
    strength = _strength(contributions)
    rank = ranks(strength, seed).view_as(contributions)
    neurons = strength.shape[1]
    curve = torch.stack([rest(rank < round(share * neurons)) for share in shares], dim=1)
    return curve.masked_fill((strength == 0).all(1, keepdim=True), torch.nan)


def abandoned_mass(contributions: Tensor, importance: Tensor) -> Tensor:
    """Return the share (B,) of sum |contribution| on neurons of importance 0.

    0 for a method that abandons them; NaN if all contributions are zero.
    """
    if contributions.shape != importance.shape:
        raise BadInput(
            f"contributions have shape {tuple(contributions.shape)}, importance "
            f"{tuple(importance.shape)}: they are of the same neurons."
        )
    strength = _strength(contributions)
    return (strength * (importance == 0).flatten(1)).sum(1) / strength.sum(1)


def causal_check(rest: Rest, *, seed: int = 0) -> Causal:
    """Compare how the score changes when all abandoned neurons (importance 0) are removed, and when
    as many used neurons are, drawn by the seed (all of them, if there are fewer).

    Raises BadInput if the score is 0: the changes are shares of it.
    """
    used = rest.importance != 0
    count = (~used).flatten(1).sum(1, keepdim=True)
    drawn = (ranks(used.flatten(1).byte(), seed) < count).view_as(used) & used
    full, *changed = (rest(removed) for removed in (used & ~used, ~used, drawn))
    zero = (full == 0).nonzero()[:, 0].tolist()
    if zero:
        raise BadInput(f"The score of images {zero} is 0: no change is a share of it.")
    relative = ((score - full).abs() / full.abs() for score in changed)
    return Causal(*(change.masked_fill(count[:, 0] == 0, torch.nan) for change in relative))


def _strength(contributions: Tensor) -> Tensor:
    """Return |contribution| as (B, n), float64. Raises BadInput if it is not finite."""
    wrong = not_finite(contributions)
    if wrong:
        raise BadInput(f"The contributions of images {wrong} hold NaN or infinity.")
    return contributions.flatten(1).double().abs()


def _mean_before_norm(onward: Onward) -> Tensor | float:
    """Return the running mean (C, 1, 1) of a batch norm if nothing else reads the layer, else 0."""
    readers = onward.readers
    if len(readers) == 1 and readers[0].name == "batch_norm":
        mean = readers[0].arguments["running_mean"]
        if mean is not None:
            return mean[:, None, None]
    return 0.0
