"""Check an embedding without a test set: the neighbours of photographs in its memory bank."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from naflow.errors import BadInput, near_names
from pipeline.judging.protocols import NearestNeighbours, Verdict
from pipeline.models.subject import Subject
from pipeline.photographs.stated import row
from pipeline.pictures.images import Part

log = logging.getLogger(__name__)

# A memory bank is in the order of ImageNet's classes by wnid; the first 398 are animals. Only the
# devkit has the numbers of pictures per class, so all are assumed to have equally many.
ANIMALS = 398 / 1000
KINDS = ("animals", "things")


@dataclass(frozen=True)
class StatedNeighbours:
    """Measure the share of statements that hold. A statement says that a picture's neighbours in
    the published memory bank are mostly animals, or mostly things.

    part         the pictures that are decided, including those of the statements; as the bank has
                 no pictures, the neighbours to show are also taken from these (NearestNeighbours)
    stated       id of a picture -> "animals" or "things"
    neighbours   the number of vectors that vote, each with weight exp(cosine / temperature)

    The verdict's numbers are the shares of the votes. For a network that was not trained with this
    bank they are at chance.
    """

    part: Part
    stated: Mapping[str, str]
    neighbours: int = 200
    temperature: float = 0.07

    def __call__(self, subject: Subject, seed: int) -> Verdict:
        for key, kind in self.stated.items():
            if kind not in KINDS:
                raise BadInput(
                    f"recipe.verify.stated.{key}={kind}: it must be {' or '.join(KINDS)}."
                    f"{near_names(kind, KINDS)}"
                )
        bank, found = subject.vectors().to(subject.device), subject.outputs(self.part)
        asked = found.values[[row(found, key) for key in self.stated]].to(subject.device)
        of_animals = self.animals(asked, bank).tolist()
        shares = {}
        for (key, kind), animals in zip(self.stated.items(), of_animals, strict=True):
            share = shares[f"{key}: {kind}"] = animals if kind == "animals" else 1 - animals
            if share <= 0.5:
                log.warning(
                    "%s: most of the vote of its neighbours in the memory bank is stated to be of "
                    "%s. It is %.1f %%.",
                    key,
                    kind,
                    100 * share,
                )
        holds = [share > 0.5 for share in shares.values()]
        among = NearestNeighbours(self.part, self.part, self.neighbours, self.temperature)
        verdict = among(subject, seed)
        stated = {"stated": sum(holds) / len(holds), **shares}
        return Verdict(stated | verdict.numbers, verdict.decisions)

    def animals(self, queries: Tensor, bank: Tensor) -> Tensor:
        """Return the share (B,) of the neighbours' vote that is for animals, of queries (B, D)."""
        alike, nearest = (queries @ bank.T).topk(min(self.neighbours, len(bank)), dim=1)
        votes = (alike / self.temperature).softmax(1)
        return (votes * (nearest < ANIMALS * len(bank))).sum(1)
