"""The objective of fine-tuning: the network is trained in evaluation mode."""

from typing import Self

from pipeline.learning.objectives import Classification


class Settled(Classification):
    """Cross-entropy with the network in evaluation mode: batch norms keep their statistics, and
    dropout is off.

    A few steps on few pictures would only spoil the statistics, and published networks whose batch
    norms are folded into the weights have none. Also, all randomness is then in the training loop,
    so two trainings can be compared pair by pair.
    """

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        self.network.eval()
        return self
