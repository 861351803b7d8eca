"""What is asked of every photo by every method: the class predicted, or one or several by name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from naflow.cascade import NAFlow
from naflow.explainer import Explainer
from naflow.explainers import CFCAM, CLRP, SGLRP
from naflow.run.preserve import preserved
from naflow.scores import ClassContrast, ClassLogit, Score, class_logits


@dataclass(frozen=True)
class Target:
    """A word of --target and the classes that it names; of several, the most probable in a photo
    is explained."""

    word: str
    classes: tuple[int, ...]

    @property
    def slug(self) -> str:
        """The word as a part of a path."""
        return re.sub(r"[^\w#-]", "_", self.word)


@dataclass(frozen=True)
class Question:
    """One method asked for one target; None: what its subject asks."""

    method: str
    target: Target | None = None
    contrasted: bool = False

    def score(self, explainer: Explainer, network: nn.Module, images: Tensor) -> Score | None:
        """The score of a batch, None for the subject's own.

        contrasted: against the other classes, also by methods that do not do so by themselves.
        """
        if self.target is None:
            return None
        index: int | list[int] = self.target.classes[0]
        if len(self.target.classes) > 1:
            with preserved(network), torch.no_grad():
                logits = class_logits(network(images))[:, list(self.target.classes)]
            index = [self.target.classes[place] for place in logits.argmax(1).tolist()]
        contrast = self.contrasted and not _contrasts(explainer)
        return ClassContrast(index) if contrast else ClassLogit(index)


def questions(methods: Mapping[str, Explainer], targets: Sequence[Target]) -> dict[str, Question]:
    """Every method asked for every target; the names are those of folders."""
    if len(targets) < 2:
        only = targets[0] if targets else None
        return {method: Question(method, only) for method in methods}
    return {
        f"{method}/{target.slug}": Question(method, target, contrasted=True)
        for method in methods
        for target in targets
    }


def _contrasts(explainer: Explainer) -> bool:
    """Whether a method explains a class's logit by what sets it apart from the others."""
    if isinstance(explainer, NAFlow):
        return explainer.config.contrast
    return isinstance(explainer, (CLRP, SGLRP, CFCAM))
