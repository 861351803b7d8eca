"""Evaluation protocols, one per field: each gives validation metrics and single decisions."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol as Interface

import torch
import torch.nn.functional as F
from hydra.utils import get_method
from torch import Generator, Tensor

from naflow.errors import BadInput
from pipeline.judging.decisions import Decision
from pipeline.judging.episodes import episode
from pipeline.models.subject import Outputs, Subject
from pipeline.pictures.images import Part

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Verdict:
    """The result of a protocol: numbers by name, and the decisions for single pictures."""

    numbers: dict[str, float]
    decisions: list[Decision]


class Protocol(Interface):
    """Evaluates a subject; `seed` fixes all random draws."""

    def __call__(self, subject: Subject, seed: int) -> Verdict: ...


@dataclass(frozen=True)
class Accuracy:
    """Top-k accuracy: the share of pictures whose class is among the k highest outputs.

    A decision's margin is the difference of the two highest probabilities.
    """

    part: Part
    top: Sequence[int] = (1, 5)

    def __call__(self, subject: Subject, seed: int) -> Verdict:
        found = subject.outputs(self.part)
        ranked = found.values.topk(min(max(self.top), found.values.shape[1]), dim=1).indices
        right = ranked == found.labels[:, None]
        shares = {f"top{k}": right[:, :k].any(1).float().mean().item() for k in self.top}
        return Verdict(shares | {"pictures": len(right)}, decided(found))


def decided(found: Outputs) -> list[Decision]:
    """Return a classifier's decisions: the highest output, with the difference of the two highest
    probabilities as margin."""
    return [
        Decision(key, key, name, found.classes[best], margin)
        for key, name, best, margin in zip(
            found.ids,
            found.names,
            found.values.argmax(1).tolist(),
            lead(found.values.softmax(1)).tolist(),
            strict=True,
        )
    ]


@dataclass(frozen=True)
class NearestNeighbours:
    """NPID's weighted kNN accuracy (Wu et al., 2018, Section 3.4): the `neighbours` known
    embeddings most similar to a picture's vote for their class, weighted exp(cosine / temperature).

    known  the pictures whose embeddings vote; None: the vectors of the published memory bank

    A decision's margin is the difference of the two highest shares of the vote. Its reference is
    the most similar known picture of the predicted class, or one of `part` if the memory bank
    votes, which has no pictures.
    """

    part: Part
    known: Part | None = None
    neighbours: int = 200
    temperature: float = 0.07

    def __call__(self, subject: Subject, seed: int) -> Verdict:
        bank = subject.memory() if self.known is None else None  # first: raises if it is missing
        found = subject.outputs(self.part)
        if bank is None:
            bank = found if self.known == self.part else subject.outputs(self.known or self.part)
        at = {key: number for number, key in enumerate(bank.ids)}
        own = torch.tensor([at.get(key, -1) for key in found.ids])
        values, labels = (one.to(subject.device) for one in (bank.values, bank.labels))
        votes = torch.cat(
            [
                self.votes(part.to(subject.device), values, labels, itself.to(subject.device)).cpu()
                for part, itself in zip(found.values.split(64), own.split(64), strict=True)
            ]
        )
        if not votes.any(1).all():
            raise BadInput(
                f"{found.ids[int(votes.any(1).logical_not().nonzero()[0])]} is the only picture "
                "known: there is none to compare it with. Name more in recipe.verify.known."
            )
        elected = votes.argmax(1)
        right = (elected == found.labels).float()
        numbers = {"knn": right.mean().item(), "pictures": len(right)}
        margins = lead(votes / votes.sum(1, keepdim=True))
        decisions = [
            self.decision(found, bank, number, best, margin)
            for number, (best, margin) in enumerate(
                zip(elected.tolist(), margins.tolist(), strict=True)
            )
        ]
        if alone := sum(not one.reference for one in decisions):
            log.warning(
                "%d of %d pictures have no other picture of their predicted class: no figure can "
                "show them.",
                alone,
                len(decisions),
            )
        return Verdict(numbers, decisions)

    def votes(self, queries: Tensor, bank: Tensor, labels: Tensor, own: Tensor) -> Tensor:
        """Return the votes (B, classes) of the neighbours of queries (B, D).

        own  (B,) row of the query itself in the bank, which does not vote; -1 if it is not there
        """
        alike = queries @ bank.T
        known = (own >= 0).nonzero().flatten()
        alike[known, own[known]] = -torch.inf
        alike, nearest = alike.topk(min(self.neighbours, len(bank)), dim=1)
        votes = queries.new_zeros(len(queries), int(labels.max()) + 1)
        return votes.scatter_add_(1, labels[nearest], (alike / self.temperature).exp())

    def decision(
        self, found: Outputs, bank: Outputs, number: int, elected: int, margin: float
    ) -> Decision:
        """Return one picture's decision; its reference is "" if none is of the predicted class."""
        key = found.ids[number]
        shown = bank if bank.ids else found
        alike = shown.values @ found.values[number]
        alike[shown.labels != elected] = -torch.inf
        if key in shown.ids:
            alike[shown.ids.index(key)] = -torch.inf
        predicted = bank.classes[elected]
        best = int(alike.argmax())
        reference = shown.ids[best] if alike[best].isfinite() else ""
        return Decision(key, key, found.names[number], predicted, margin, reference)


@dataclass(frozen=True)
class Episodes:
    """Few-shot accuracy: the mean over episodes, with the half-width of its 95 % interval.

    scores  a function of pipeline.judging.episodes: cosine, euclidean, local_descriptors
    told    number of episodes whose decisions are returned

    A decision's margin is the difference of the two highest scores; its reference is the first
    support picture of the predicted class.
    """

    part: Part
    ways: int = 5
    shots: int = 1
    queries: int = 15
    episodes: int = 2000
    scores: str = "pipeline.judging.episodes.cosine"
    told: int = 20

    def __call__(self, subject: Subject, seed: int) -> Verdict:
        found, scores = subject.outputs(self.part), get_method(self.scores)
        generator = Generator().manual_seed(seed)
        truth = torch.arange(self.ways).repeat_interleave(self.queries)
        right, decisions = [], []
        for number in range(self.episodes):
            drawn = episode(found.labels, self.ways, self.shots + self.queries, generator)
            query = drawn[:, self.shots :].flatten()
            scored = scores(found.values[drawn[:, : self.shots]], found.values[query])
            right.append((scored.argmax(1) == truth).float().mean())
            if number < self.told:
                decisions += self.decisions(found, number, drawn[:, 0], query, scored)
        accuracy = torch.stack(right)
        interval = 1.96 * accuracy.std() / len(accuracy) ** 0.5
        numbers = {
            "accuracy": accuracy.mean().item(),
            "interval": interval.item(),
            "episodes": len(accuracy),
        }
        return Verdict(numbers, decisions)

    def decisions(
        self, found: Outputs, number: int, support: Tensor, query: Tensor, scored: Tensor
    ) -> list[Decision]:
        """Return the decisions of an episode: support (ways,), query (Q,), scored (Q, ways)."""
        shown = tuple(found.ids[one] for one in support.tolist())
        return [
            Decision(
                f"{number}/{found.ids[one]}",
                found.ids[one],
                found.names[one],
                found.names[int(support[best])],
                margin,
                shown[best],
                shown,
            )
            for one, best, margin in zip(
                query.tolist(), scored.argmax(1).tolist(), lead(scored).tolist(), strict=True
            )
        ]


@dataclass(frozen=True)
class Recall:
    """Recall@k: the share of pictures with one of their class among their k nearest neighbours.

    The predicted class is that of the most similar picture, the reference. The margin is the
    difference of the cosines of this picture and of the most similar one of another class.
    """

    part: Part
    at: Sequence[int] = (1, 2, 4, 8)

    def __call__(self, subject: Subject, seed: int) -> Verdict:
        found = subject.outputs(self.part)
        values, labels = F.normalize(found.values.flatten(1)), found.labels
        if len(values) <= max(self.at):
            raise BadInput(
                f"Recall@{max(self.at)} needs more than {len(values)} pictures: "
                "take another part, or a smaller recipe.verify.at."
            )
        hits, decisions = [], []
        for start in range(0, len(values), 256):
            rows = torch.arange(start, min(start + 256, len(values)))
            alike = values[rows] @ values.T
            alike[torch.arange(len(rows)), rows] = -torch.inf  # not its own neighbour
            nearest = alike.topk(max(self.at), dim=1).indices
            hits.append(labels[nearest] == labels[rows, None])
            first = nearest[:, 0]
            others = (
                alike.masked_fill(labels[first, None] == labels, -torch.inf).amax(1).clamp_min(-1)
            )
            margins = alike[torch.arange(len(rows)), first] - others
            decisions += [
                Decision(
                    found.ids[one],
                    found.ids[one],
                    found.names[one],
                    found.names[top],
                    margin,
                    found.ids[top],
                )
                for one, top, margin in zip(
                    rows.tolist(), first.tolist(), margins.tolist(), strict=True
                )
            ]
        found_own = torch.cat(hits)
        shares = {f"recall{k}": found_own[:, :k].any(1).float().mean().item() for k in self.at}
        return Verdict(shares | {"pictures": len(found_own)}, decisions)


def lead(scores: Tensor) -> Tensor:
    """Return the difference (N,) of the two highest scores of each row (N, K)."""
    if scores.shape[1] == 1:
        return scores[:, 0]
    first, second = scores.topk(2, dim=1).values.unbind(1)
    return first - second
