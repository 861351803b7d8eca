"""What an explanation answers: which class, or what makes two pictures alike."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from naflow import Flow
from naflow.scores import ChannelContribution, ClassLogit, Score


class Question(Protocol):
    """The score of a batch of B pictures, and what the answer says beside the maps."""

    @property
    def score(self) -> Score: ...

    def confidence(self, flow: Flow) -> Tensor:
        """(B,) how sure the network is."""
        ...

    def prediction(self, flow: Flow) -> Tensor:
        """(B,) index of the predicted class, -1 where there are no classes."""
        ...

    def weights(self, flow: Flow) -> Tensor:
        """(B, D) contribution weights of the embedding, (B, 0) where there are none."""
        ...


class PredictedClass:
    """Why the class that the network predicts? Its confidence is the class's probability."""

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
    """Why is it alike to the reference? Its confidence is the cosine of the two embeddings.

    reference  (B, ...) the references' embeddings
    """

    reference: Tensor

    @property
    def score(self) -> ChannelContribution:
        """Eqs 17-21."""
        return ChannelContribution(self.reference)

    def confidence(self, flow: Flow) -> Tensor:
        return cosine_similarity(flow.output.flatten(1), self.reference.flatten(1), dim=1)

    def prediction(self, flow: Flow) -> Tensor:
        return torch.full((len(flow.output),), -1)

    def weights(self, flow: Flow) -> Tensor:
        return self.score.weights(flow.output)
