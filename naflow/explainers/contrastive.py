"""Contrastive relevance: the relevance of a class less that of the other classes.

The relevance of a layer is linear in the initial relevance, and its sum is conserved. So the
difference of two relevances of unit sum is the relevance of the difference of their initial values,
and each method takes one forward and one reverse pass for all layers. (The authors subtract two
backward passes, each divided by its sum: the same up to relevance that a rule loses, see
RelevanceFlow.conservation. Tested.)
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from naflow.errors import BadInput, is_one_of
from naflow.explainers.lrp import LRP
from naflow.explainers.rules import Rules
from naflow.scores import ClassLogit, PixelSet, Score


class CLRP(LRP):
    """sum_k max(0, R_k - R_dual,k): Gu, Yang and Tresp, ACCV 2018.

    R and R_dual each have unit sum. variant 1: the initial relevance of the dual is 1 / (N - 1) at
    each other class (third-party code; the authors' own code takes |z_n| [C]). variant 2: it is 1
    at the class, whose row of the last layer is negated, W_t -> -W_t [C], so at that layer the dual
    follows the weights of the other sign; if the row has no negative weights, nothing is
    subtracted. Rules: z+ at all layers, but z^B at the first [C]. To use it at every layer is ours;
    the paper shows maps at the input.

    options are those of LRP. Raises BadInput for another variant, and in variant 1 if there are no
    other classes.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        variant: Literal[1, 2] = 1,
        **options: Any,
    ) -> None:
        super().__init__(model, **options)
        if not is_one_of(variant, (1, 2)):
            raise BadInput(f"CLRP has variants 1 and 2, not {variant!r}.")
        self.variant = variant

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"CLRP{self.variant}"

    def evidence(self, x: Tensor, g: Tensor) -> Tensor:
        return g.relu().sum(1)

    def contrast(self, logits: Tensor, target: Tensor) -> Tensor:
        if self.variant == 2:
            return target
        return target - (1 - target) / (other_classes(logits, self.name))

    def terms(self, contributions: Tensor) -> Tensor:
        if self.variant == 1:
            return super().terms(contributions)
        return super().terms(contributions.relu()) - super().terms((-contributions).relu())

    def rules_for(self, score: Score) -> Rules:
        classes = isinstance(score, (ClassLogit, PixelSet))
        return replace(self.rules, last="contrast") if self.variant == 2 and classes else self.rules


class SGLRP(LRP):
    """ReLU(sum_k R_k) of the initial relevance dp_t/dz: Iwana, Kuroki and Uchida, 2019.

    The initial relevance p_t (1 - p_t) at the class and -p_t p_n at the others [C] is divided by
    p_t (1 - p_t), which vanishes as p_t -> 1. So it is 1 at the class and minus the softmax over
    the other logits at the others.

    Raises BadInput if there are no other classes.
    """

    name = "SGLRP"
    signed = False

    def evidence(self, x: Tensor, g: Tensor) -> Tensor:
        return g.sum(1)

    def contrast(self, logits: Tensor, target: Tensor) -> Tensor:
        other_classes(logits, self.name)
        return target - logits.masked_fill(target == 1, -torch.inf).softmax(1)


def other_classes(logits: Tensor, method: str) -> int:
    """Return the number of other classes, N - 1. Raises BadInput if it is 0."""
    if logits.shape[1] < 2:
        raise BadInput(
            f"{method} contrasts with other classes, and there is none: of a similarity, give "
            "others=, embeddings of other references; a single logit is explained by LRP, and by "
            "CLRP with variant=2."
        )
    return logits.shape[1] - 1
