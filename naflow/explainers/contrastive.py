"""Contrastive relevance: what speaks for a class less what speaks for the others.

Relevance is linear in its start, and its sum is kept, so the difference of two relevances of unit
sum is one relevance, of the difference of the starts. Each method is thus one forward and one
reverse pass for all layers. (The authors subtract two backward passes, each over its sum: the same
up to relevance that a rule loses, see RelevanceFlow.conservation. Tested.)
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

    R and R_dual each have unit sum. variant 1: the dual starts at all other classes, 1 / (N - 1)
    each (third-party code; the authors' own code takes |z_n| [C]). variant 2: the dual starts at
    the class with its row of the last layer negated, W_t -> -W_t [C], so at that layer it follows
    the weights of the other sign; a row without negative weights leaves nothing to subtract.
    z+ everywhere and z^B at the first layer [C]. Its use in every layer is ours; the paper draws
    pixels.

    options are those of LRP. Raises BadInput for another variant, and in variant 1 where there is
    no other class.
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
    """ReLU(sum_k R_k) from the start dp_t/dz: Iwana, Kuroki and Uchida, 2019.

    The start p_t (1 - p_t) at the class and -p_t p_n at the others [C] is taken over
    p_t (1 - p_t), which vanishes where p_t -> 1: 1 and -softmax of the others' logits.

    Raises BadInput where there is no other class.
    """

    name = "SGLRP"
    signed = False

    def evidence(self, x: Tensor, g: Tensor) -> Tensor:
        return g.sum(1)

    def contrast(self, logits: Tensor, target: Tensor) -> Tensor:
        other_classes(logits, self.name)
        return target - logits.masked_fill(target == 1, -torch.inf).softmax(1)


def other_classes(logits: Tensor, method: str) -> int:
    """N - 1. Raises BadInput where it is 0."""
    if logits.shape[1] < 2:
        raise BadInput(
            f"{method} contrasts with other classes, and there is none: of a similarity, give "
            "others=, embeddings of other references; a single logit is explained by LRP, and by "
            "CLRP with variant=2."
        )
    return logits.shape[1] - 1
