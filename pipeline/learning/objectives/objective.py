"""What the ways of training share: a network, the order of the pictures, and a loss."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator

import torch
from torch import Generator, Tensor, nn

from pipeline.device import autocast


class Objective(nn.Module, ABC):
    """A network with whatever else its training learns or remembers.

    labels  (N,) the class of every picture trained on
    size    pixels a side of the network's input

    `chance` is the loss of who knows nothing and says so; infinite where the loss has bounds, as of
    likenesses on a sphere.
    """

    chance: float = math.inf

    def __init__(self, network: nn.Module, labels: Tensor, size: int) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("labels", labels, persistent=False)
        self.labels: Tensor

    def outputs(self, views: Tensor) -> Tensor:
        """The network's outputs (B, ...) in float32: whatever precision the network itself is
        trained in, likenesses that differ in the third digit must not be rounded away."""
        with autocast(views.device):
            return self.network(views).float()

    def begin(self, views: Tensor) -> None:
        """A look at the first batch of views before the first step."""

    @abstractmethod
    def forward(self, views: Tensor, chosen: Tensor) -> Tensor:
        """The loss, a number, on views (B, 3, H, W) of the pictures numbered `chosen` (B,)."""

    def batches(self, labels: Tensor, size: int, generator: Generator) -> Iterator[Tensor]:
        """The pictures of an epoch: all of them, shuffled, `size` at a time.

        A last batch of one is left out: batch norm needs two.
        """
        for chosen in torch.randperm(len(labels), generator=generator).split(size):
            if len(chosen) > 1:
                yield chosen


@torch.no_grad()
def width(network: nn.Module, size: int) -> int:
    """How many numbers the network gives for an image of `size` pixels a side."""
    training, device = network.training, next(network.parameters()).device
    found = network.eval()(torch.zeros(1, 3, size, size, device=device)).shape[1]
    network.train(training)
    return found
