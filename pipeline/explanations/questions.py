"""The score that a stored explanation has: of the predicted class, or of a similarity."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from naflow import Flow
from naflow.scores import ChannelContribution, ClassLogit, Score


class Question(Protocol):
    """The score of a batch of B pictures, and what is stored besides the maps."""

    @property
    def score(self) -> Score: ...

    def confidence(self, flow: Flow) -> Tensor:
        """Return the network's confidence, (B,)."""
        ...

    def prediction(self, flow: Flow) -> Tensor:
        """Return the index of the predicted class, (B,); -1 if there are no classes."""
        ...

    def weights(self, flow: Flow) -> Tensor:
        """Return the contribution weights of the embedding, (B, D); (B, 0) for classes."""
        ...


class PredictedClass:
    """Explains the predicted class; the confidence is its probability."""

    score = ClassLogit()

    def confidence(self, flow: Flow) -> Tensor:
        return flow.output.softmax(1).max(1).values

    def prediction(self, flow: Flow) -> Tensor:
        assert flow.prediction is not None
        return flow.prediction

    def weights(self, flow: Flow) -> Tensor:
        return flow.output.new_zeros(len(flow.output), 0)


@dataclass(frozen=True)
class Likeness:
    """Explains the similarity to a reference; the confidence is the cosine of the two embeddings.

    reference  (B, ...) the references' embeddings
    """

    reference: Tensor

    @property
    def score(self) -> ChannelContribution:
        """The contributions of the channels (Eqs 17-21)."""
        return ChannelContribution(self.reference)

    def confidence(self, flow: Flow) -> Tensor:
        return cosine_similarity(flow.output.flatten(1), self.reference.flatten(1), dim=1)

    def prediction(self, flow: Flow) -> Tensor:
        return torch.full((len(flow.output),), -1)

    def weights(self, flow: Flow) -> Tensor:
        return self.score.weights(flow.output)
