"""How good a network is, by the protocol of its own field; each gives named numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol as Interface

import torch
import torch.nn.functional as F
from hydra.utils import get_method
from torch import Generator, Tensor

from naflow.errors import BadInput
from pipeline.episodes import episode
from pipeline.images import Part
from pipeline.subject import Subject


class Protocol(Interface):
    """A measurement of a subject; `seed` decides whatever is drawn by chance."""

    def __call__(self, subject: Subject, seed: int) -> dict[str, float]: ...


@dataclass(frozen=True)
class Accuracy:
    """Top-k accuracy: the share of pictures whose class is among the k highest outputs."""

    part: Part
    top: Sequence[int] = (1, 5)

    def __call__(self, subject: Subject, seed: int) -> dict[str, float]:
        found = subject.outputs(self.part)
        ranked = found.values.topk(min(max(self.top), found.values.shape[1]), dim=1).indices
        right = ranked == found.labels[:, None]
        shares = {f"top{k}": right[:, :k].any(1).float().mean().item() for k in self.top}
        return shares | {"pictures": len(right)}


@dataclass(frozen=True)
class NearestNeighbours:
    """NPID's check (Wu et al., 2018, Section 3.4): the known embeddings most like a picture's vote
    for their own class with weight exp(cosine / temperature).

    known  the pictures whose embeddings vote; None: the vectors of the published memory bank
    """

    part: Part
    known: Part | None = None
    neighbours: int = 200
    temperature: float = 0.07

    def __call__(self, subject: Subject, seed: int) -> dict[str, float]:
        found = subject.outputs(self.part)
        bank = subject.memory() if self.known is None else subject.outputs(self.known)
        predicted = [self.vote(part, bank.values, bank.labels) for part in found.values.split(64)]
        right = torch.cat(predicted) == found.labels
        return {"knn": right.float().mean().item(), "pictures": len(right)}

    def vote(self, queries: Tensor, bank: Tensor, labels: Tensor) -> Tensor:
        """The class (B,) that the neighbours of queries (B, D) elect."""
        alike, nearest = (queries @ bank.T).topk(min(self.neighbours, len(bank)), dim=1)
        votes = torch.zeros(len(queries), int(labels.max()) + 1)
        votes.scatter_add_(1, labels[nearest], (alike / self.temperature).exp())
        return votes.argmax(1)


@dataclass(frozen=True)
class Episodes:
    """Few-shot accuracy: the mean over episodes, with the half-width of its 95 % interval.

    scores  dotted name of a function of pipeline.episodes: cosine, euclidean, local_descriptors
    """

    part: Part
    ways: int = 5
    shots: int = 1
    queries: int = 15
    episodes: int = 2000
    scores: str = "pipeline.episodes.cosine"

    def __call__(self, subject: Subject, seed: int) -> dict[str, float]:
        found, scores = subject.outputs(self.part), get_method(self.scores)
        generator = Generator().manual_seed(seed)
        truth = torch.arange(self.ways).repeat_interleave(self.queries)
        right = []
        for _ in range(self.episodes):
            drawn = episode(found.labels, self.ways, self.shots + self.queries, generator)
            support = found.values[drawn[:, : self.shots]]
            query = found.values[drawn[:, self.shots :].flatten()]
            right.append((scores(support, query).argmax(1) == truth).float().mean())
        accuracy = torch.stack(right)
        interval = 1.96 * accuracy.std() / len(accuracy) ** 0.5
        return {
            "accuracy": accuracy.mean().item(),
            "interval": interval.item(),
            "episodes": len(accuracy),
        }


@dataclass(frozen=True)
class Recall:
    """Recall@k: the share of pictures with one of their own class among the k most alike others."""

    part: Part
    at: Sequence[int] = (1, 2, 4, 8)

    def __call__(self, subject: Subject, seed: int) -> dict[str, float]:
        found = subject.outputs(self.part)
        values, labels = F.normalize(found.values.flatten(1)), found.labels
        if len(values) <= max(self.at):
            raise BadInput(
                f"Recall@{max(self.at)} needs more than {len(values)} pictures: "
                "take another part, or a smaller recipe.verify.at."
            )
        hits = []
        for start in range(0, len(values), 256):
            rows = torch.arange(start, min(start + 256, len(values)))
            alike = values[rows] @ values.T
            alike[torch.arange(len(rows)), rows] = -torch.inf  # a picture does not find itself
            nearest = alike.topk(max(self.at), dim=1).indices
            hits.append(labels[nearest] == labels[rows, None])
        found_own = torch.cat(hits)
        shares = {f"recall{k}": found_own[:, :k].any(1).float().mean().item() for k in self.at}
        return shares | {"pictures": len(found_own)}
