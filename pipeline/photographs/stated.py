"""Check a classifier without a test set: its stated classes of known photographs."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from naflow.errors import BadInput, near_names
from pipeline.judging.protocols import Verdict, decided
from pipeline.models.subject import Outputs, Subject
from pipeline.pictures.images import Part

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stated:
    """Measure the share of statements that hold. A statement says that a picture's class is among
    the highest outputs.

    part    the pictures that are decided, including those of the statements
    stated  id of a picture -> the name of an output
    within  the number of highest outputs

    The verdict's numbers are the rank of each stated output, from 1. The margin of a decision is
    the difference of the two highest probabilities.
    """

    part: Part
    stated: Mapping[str, str]
    within: int = 5

    def __call__(self, subject: Subject, seed: int) -> Verdict:
        found = subject.outputs(self.part)
        order = found.values.argsort(dim=1, descending=True)
        ranks = {}
        for key, name in self.stated.items():
            if name not in found.classes:
                raise BadInput(
                    f"recipe.verify.stated.{key}: {name!r} is no output of the network."
                    f"{near_names(name, found.classes)}"
                )
            outputs = order[row(found, key)].tolist()
            rank = ranks[f"{key}: rank of {name!r}"] = 1 + outputs.index(found.classes.index(name))
            if rank > self.within:
                log.warning(
                    "%s: %r is stated to be among the %d most probable classes. It is number %d; "
                    "the first is %r.",
                    key,
                    name,
                    self.within,
                    rank,
                    found.classes[outputs[0]],
                )
        holds = [rank <= self.within for rank in ranks.values()]
        return Verdict({"stated": sum(holds) / len(holds), **ranks}, decided(found))


def row(found: Outputs, key: str) -> int:
    """Return the row of a picture. Raises BadInput, with similar ids, if it was not shown."""
    if key not in found.ids:
        raise BadInput(
            f"recipe.verify.stated: there is no picture {key!r}.{near_names(key, found.ids)} "
            "Gather the photographs again: python -m pipeline.gather."
        )
    return found.ids.index(key)
