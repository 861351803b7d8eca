"""The second stage of Meta-Baseline: training on episodes, as few-shot learning is evaluated.

Chen et al., ICCV 2021, arXiv 2003.04390, Eqs 2 and 3: the logit of a class is the cosine of the
query's embedding and the class's mean support embedding, times a learned temperature.
"""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from pipeline.judging.episodes import episode
from pipeline.learning.objectives.objective import Objective


class MetaBaseline(Objective):
    """Cross-entropy of the queries' classes. A batch of size b is b episodes.

    ways, shots, queries  classes per episode; support and query pictures per class
    steps                 batches per epoch
    """

    def __init__(
        self,
        network: nn.Module,
        labels: Tensor,
        size: int,
        ways: int = 5,
        shots: int = 1,
        queries: int = 15,
        steps: int = 200,
    ) -> None:
        super().__init__(network, labels, size)
        self.ways, self.shots, self.queries, self.steps = ways, shots, queries, steps
        self.chance = math.log(ways)
        self.temperature = nn.Parameter(torch.tensor(10.0))

    def batches(self, labels: Tensor, size: int, generator: Generator) -> Iterator[Tensor]:
        """Yield batches of `size` episodes; each has ways * (shots + queries) indices, class by
        class, support first."""
        shape = self.ways, self.shots + self.queries
        for _ in range(self.steps):
            yield torch.cat([episode(labels, *shape, generator).flatten() for _ in range(size)])

    def forward(self, views: Tensor, chosen: Tensor) -> Tensor:
        found = F.normalize(self.outputs(views).flatten(1))
        found = found.view(-1, self.ways, self.shots + self.queries, found.shape[1])
        support = F.normalize(found[:, :, : self.shots].mean(2), dim=-1)  # (episodes, ways, D)
        query = found[:, :, self.shots :].flatten(1, 2)  # (episodes, ways * queries, D)
        logits = self.temperature * query @ support.transpose(1, 2)
        truth = torch.arange(self.ways, device=views.device).repeat_interleave(self.queries)
        return F.cross_entropy(logits.flatten(0, 1), truth.repeat(len(found)))
