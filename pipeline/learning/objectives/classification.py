"""Classification: cross-entropy over the training classes."""

import math

import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.learning.objectives.objective import Objective, width


class Classification(Objective):
    """Cross-entropy of the network's outputs, or, with a head, of a linear layer on them.

    head       True: train an embedding with a linear layer that is dropped after training, as in
               the first stage of Meta-Baseline (Chen et al., ICCV 2021)
    smoothing  the share of the target that is spread over all classes
    """

    def __init__(
        self,
        network: nn.Module,
        labels: Tensor,
        size: int,
        head: bool = False,
        smoothing: float = 0.1,
    ) -> None:
        super().__init__(network, labels, size)
        classes = int(labels.max()) + 1
        self.head = nn.Linear(width(network, size), classes) if head else nn.Identity()
        self.smoothing, self.chance = smoothing, math.log(classes)

    def forward(self, views: Tensor, chosen: Tensor) -> Tensor:
        logits = self.head(self.outputs(views))
        return F.cross_entropy(logits, self.labels[chosen], label_smoothing=self.smoothing)
