"""Scores of perturbed pictures: one number per picture, for every step of a curve."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor, nn

from naflow.errors import BadInput, NotFinite
from naflow.finite import not_finite
from naflow.perturb.masked import rows
from naflow.run.preserve import preserved
from naflow.scores import ClassLogit, Score

Answer = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class ClassProbability:
    """The softmax probability of a class, as a score of the model's output (B, classes).

    index: one class for all pictures, or one per picture. It stays the same for perturbed pictures.
    Raises BadInput as ClassLogit does.
    """

    index: int | Sequence[int] | Tensor

    def __call__(self, output: Tensor) -> Tensor:
        logits = isinstance(output, Tensor) and output.ndim == 2
        return ClassLogit(self.index)(output.double().softmax(1) if logits else output)


@dataclass(frozen=True)
class Answers:
    """A callable: images (n B, C, H, W) -> (n B,) their scores, without gradients.

    model     in any mode; left exactly as it was
    score     see naflow.scores, and ClassProbability
    pictures  B. The images are n versions of the same B pictures, always in the same order. The
              score is called with B rows at a time, as it may hold a class or reference for each
    """

    model: nn.Module
    score: Score
    pictures: int

    def __call__(self, images: Tensor) -> Tensor:
        with preserved(self.model), torch.no_grad():
            output = self.model(images)
            starts = range(0, len(images), self.pictures)
            return torch.cat([self.score(rows(output, at, at + self.pictures)) for at in starts])


def ask(answer: Answer, changes: Iterable[Tensor], pictures: int, batch: int) -> Tensor:
    """Return the scores (B, steps), float64, of every version (B, C, H, W) of B pictures.

    At most `batch` images, but at least B, go through the model and are in memory at once. Raises
    BadInput if `answer` does not give one number per image, NotFinite if one is not finite.
    """
    if batch < 1:
        raise BadInput(f"batch={batch}: it is the number of images in a forward pass, 1 or more.")
    remaining, scores = iter(changes), []
    while part := list(islice(remaining, max(1, batch // pictures))):
        with torch.no_grad():
            values = checked(answer(torch.cat(part)), pictures * len(part))
        scores.append(values.view(len(part), pictures))
    return torch.cat(scores).mT


def checked(values: object, images: int) -> Tensor:
    """Return the scores of so many images as (images,), float64. Raises as `ask` does."""
    if not isinstance(values, Tensor) or values.shape != (images,):
        shape = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
        raise BadInput(f"The score has shape {shape}: one number an image, ({images},), is needed.")
    if wrong := not_finite(values):
        raise NotFinite(f"The score is NaN or infinite in rows {wrong} of {images} images.")
    return values.double()
