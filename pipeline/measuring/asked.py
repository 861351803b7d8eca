"""What is asked of a batch of pictures, in any order: a class each, or a likeness each."""

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from naflow.metrics import ClassProbability
from naflow.scores import ChannelContribution, ClassLogit, Score, Similarity


class Asked(Protocol):
    """The questions of B pictures. rows (b,): which of them, one for each image explained."""

    def score(self, rows: Tensor) -> Score:
        """What the methods explain."""
        ...

    def answer(self, rows: Tensor) -> Score:
        """What is watched while pictures are changed: a number with a fixed range."""
        ...


@dataclass(frozen=True)
class OfClass:
    """Why this class? Its logit is explained, its probability watched. classes: (B,) int64."""

    classes: Tensor

    def score(self, rows: Tensor) -> Score:
        return ClassLogit(self.classes[rows])

    def answer(self, rows: Tensor) -> Score:
        return ClassProbability(self.classes[rows])


@dataclass(frozen=True)
class OfLikeness:
    """Why alike to the reference? The channels' contributions are explained (Eqs 17-21), the cosine
    watched. references: (B, ...) embeddings."""

    references: Tensor

    def score(self, rows: Tensor) -> Score:
        return ChannelContribution(self.references[rows])

    def answer(self, rows: Tensor) -> Score:
        cosine = Similarity(self.references[rows])
        return lambda output: cosine(_full(output))


def _full(output: Any) -> Any:
    """Half-precision outputs in float32: a cosine needs the digits."""
    return output.float() if isinstance(output, Tensor) else output


def asked(outputs: Tensor, references: Tensor | None) -> Asked:
    """The question of every picture: what the network gives for them, (B, N) logits, is asked for
    its largest; where there are references, (B, ...) embeddings, the likeness to them."""
    if references is None:
        return OfClass(outputs.argmax(1))
    return OfLikeness(references.to(torch.float32))
