"""The scores of a batch of pictures, in any order: of a class each, or of a similarity each."""

from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from naflow.metrics import ClassProbability
from naflow.scores import ChannelContribution, ClassLogit, Score, Similarity, SimilarityContrast


class Asked(Protocol):
    """The scores of B pictures. rows (b,): the indices of the pictures that are scored."""

    def score(self, rows: Tensor) -> Score:
        """Return the score that the methods explain."""
        ...

    def answer(self, rows: Tensor) -> Score:
        """Return the score that is measured on perturbed pictures; its range is fixed."""
        ...


@dataclass(frozen=True)
class OfClass:
    """A class: its logit is explained, its probability measured on perturbed pictures.

    classes  (B,) int64
    """

    classes: Tensor

    def score(self, rows: Tensor) -> Score:
        return ClassLogit(self.classes[rows])

    def answer(self, rows: Tensor) -> Score:
        return ClassProbability(self.classes[rows])


@dataclass(frozen=True)
class OfLikeness:
    """Similarity to a reference: the channels' contributions are explained (Eqs 17-21), the cosine
    is measured on perturbed pictures.

    references  (B, ...) embeddings
    others      (M, ...) embeddings of other pictures, with which the similarity is contrasted.
                None: Eqs 17-21
    """

    references: Tensor
    others: Tensor | None = None

    def score(self, rows: Tensor) -> Score:
        if self.others is None:
            return ChannelContribution(self.references[rows])
        return SimilarityContrast(self.references[rows], self.others)

    def answer(self, rows: Tensor) -> Score:
        cosine = Similarity(self.references[rows])
        return lambda output: cosine(_full(output))


def _full(output: Any) -> Any:
    """Convert half-precision outputs to float32: a cosine needs the digits."""
    return output.float() if isinstance(output, Tensor) else output


def asked(outputs: Tensor, references: Tensor | None, others: Tensor | None = None) -> Asked:
    """Return the scores of a batch: of the predicted classes, from outputs (B, N), the logits; or,
    if there are references (B, ...), embeddings, of the similarity to them, contrasted with that to
    others (M, ...) if there are any."""
    if references is None:
        return OfClass(outputs.argmax(1))
    return OfLikeness(references.float(), None if others is None else others.float())
