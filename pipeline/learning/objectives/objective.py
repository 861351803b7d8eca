"""The base class of training objectives: a network, batches of pictures, and a loss."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import nullcontext

import torch
from torch import Generator, Tensor, nn

from pipeline.device import autocast
from pipeline.learning.small_maps import SmallMaps


class Objective(nn.Module, ABC):
    """A network, with everything else that its training learns or stores.

    labels  (N,) the class of every training picture
    size    side of the network's input in pixels

    `chance` is the loss of uniform predictions; infinite if the loss is bounded, as for cosines.
    """

    chance: float = math.inf

    def __init__(self, network: nn.Module, labels: Tensor, size: int) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("labels", labels, persistent=False)
        self.labels: Tensor

    def outputs(self, views: Tensor) -> Tensor:
        """Return the network's outputs (B, ...) in float32, also if the network runs in lower
        precision: similarities that differ in the third digit must stay different."""
        faster = SmallMaps() if views.device.type == "cpu" else nullcontext()
        with autocast(views.device), faster:
            return self.network(views).float()

    def begin(self, views: Tensor) -> None:
        """Prepare training with the first batch of views, before the first step."""

    @abstractmethod
    def forward(self, views: Tensor, chosen: Tensor) -> Tensor:
        """Return the loss, a number, of views (B, 3, H, W) of the pictures with indices `chosen`
        (B,)."""

    def batches(self, labels: Tensor, size: int, generator: Generator) -> Iterator[Tensor]:
        """Yield the indices of an epoch's pictures: all, shuffled, `size` at a time.

        A last batch with only one picture is left out: batch norm needs two.
        """
        for chosen in torch.randperm(len(labels), generator=generator).split(size):
            if len(chosen) > 1:
                yield chosen


@torch.no_grad()
def width(network: nn.Module, size: int) -> int:
    """Return the number of outputs of the network for an image of `size` pixels a side."""
    training, device = network.training, next(network.parameters()).device
    found = network.eval()(torch.zeros(1, 3, size, size, device=device)).shape[1]
    network.train(training)
    return found
