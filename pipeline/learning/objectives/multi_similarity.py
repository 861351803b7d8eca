"""The multi-similarity loss: pairs within a batch attract or repel according to their similarity.

Wang et al., CVPR 2019, arXiv 1904.06627, Eqs 11, 12 and 15, as pytorch-metric-learning computes
them. The defaults are those of the authors' code, which differ from the paper's.
"""

from collections.abc import Iterator

import torch
from pytorch_metric_learning.losses import MultiSimilarityLoss
from pytorch_metric_learning.miners import MultiSimilarityMiner
from torch import Generator, Tensor, nn

from naflow.errors import BadInput
from pipeline.learning.objectives.objective import Objective


class MultiSimilarity(Objective):
    """The loss of embeddings of norm 1. A batch has `each` pictures of every one of its classes.

    alpha, beta, base  of the loss: sharpness for positives and for negatives, and the threshold
    epsilon            margin within which a pair is hard enough to count
    each               pictures of each class in a batch
    steps              batches per epoch
    """

    def __init__(
        self,
        network: nn.Module,
        labels: Tensor,
        size: int,
        alpha: float = 2.0,
        beta: float = 40.0,
        base: float = 0.5,
        epsilon: float = 0.1,
        each: int = 5,
        steps: int = 100,
    ) -> None:
        super().__init__(network, labels, size)
        self.each, self.steps = each, steps
        self.pairs = MultiSimilarityMiner(epsilon=epsilon)
        self.loss = MultiSimilarityLoss(alpha=alpha, beta=beta, base=base)

    def batches(self, labels: Tensor, size: int, generator: Generator) -> Iterator[Tensor]:
        """Yield batches of `size` // `each` random classes, or all classes if there are fewer.

        Raises BadInput for a class of fewer than `each` pictures, and for a batch of fewer than two
        classes.
        """
        if size < 2 * self.each:
            raise BadInput(
                f"schedule.batch={size} holds fewer than two classes of objective.each={self.each} "
                f"pictures, so nothing to push apart: give schedule.batch={2 * self.each} or more."
            )
        of_class = [(labels == number).nonzero().flatten() for number in labels.unique().tolist()]
        smallest = min(len(pictures) for pictures in of_class)
        if smallest < self.each:
            raise BadInput(
                f"A class has {smallest} pictures and objective.each={self.each}: give a smaller "
                "objective.each, or leave the class out with images.select."
            )
        for _ in range(self.steps):
            drawn = torch.randperm(len(of_class), generator=generator)[: size // self.each]
            yield torch.cat(
                [
                    pictures[torch.randperm(len(pictures), generator=generator)[: self.each]]
                    for pictures in (of_class[number] for number in drawn.tolist())
                ]
            )

    def forward(self, views: Tensor, chosen: Tensor) -> Tensor:
        found, labels = self.outputs(views), self.labels[chosen]
        return self.loss(found, labels, self.pairs(found, labels))
