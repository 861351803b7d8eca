"""What is explained of every photo: the predicted class, or one or several named classes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from naflow.cascade import NAFlow
from naflow.explainer import Explainer
from naflow.explainers import CFCAM, CLRP, SGLRP
from naflow.outputs import class_logits
from naflow.run.preserve import preserved
from naflow.scores import ClassContrast, ClassLogit, Score


@dataclass(frozen=True)
class Target:
    """A word after --target and the classes that it stands for. If there are several, the most
    probable one in a photo is explained."""

    word: str
    classes: tuple[int, ...]

    @property
    def slug(self) -> str:
        """The word, made safe for use in a path."""
        return re.sub(r"[^\w#-]", "_", self.word)


@dataclass(frozen=True)
class Question:
    """One method, and the target that it explains.

    target      None: the score of the subject
    contrasted  contrast the class with the others, also for methods that do not do so themselves
    """

    method: str
    target: Target | None = None
    contrasted: bool = False

    def score(self, explainer: Explainer, network: nn.Module, images: Tensor) -> Score | None:
        """Return the score for a batch of images (B, C, H, W), None for the subject's own."""
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
    """Combine every method with every target. Returns name of the results' folder -> question."""
    if len(targets) < 2:
        only = targets[0] if targets else None
        return {method: Question(method, only) for method in methods}
    return {
        f"{method}/{target.slug}": Question(method, target, contrasted=True)
        for method in methods
        for target in targets
    }


def _contrasts(explainer: Explainer) -> bool:
    """Whether a method itself contrasts a class's logit with the other classes."""
    if isinstance(explainer, NAFlow):
        return explainer.config.contrast
    return isinstance(explainer, (CLRP, SGLRP, CFCAM))
