"""Fine-tuning: a network that has learned goes on learning as it is used."""

from typing import Self

from pipeline.learning.objectives import Classification


class Settled(Classification):
    """Cross-entropy with the network as in evaluation: batch norms keep their statistics, and
    nothing is dropped.

    A few steps on few pictures would only spoil the statistics; published networks whose batch
    norms are folded into the weights have none that could be learned anew. And chance is then the
    training loop's alone, so two trainings can be compared pair by pair.
    """

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        self.network.eval()
        return self
