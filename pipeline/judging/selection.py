"""The pictures that a figure shows, and the rule that selected them: written by `select`."""

from dataclasses import asdict, dataclass, field
from pathlib import Path

from naflow.errors import BadInput
from pipeline.atomic import read_json, write_json
from pipeline.explanations.cases import Case
from pipeline.judging.decisions import Decision


@dataclass(frozen=True)
class Chosen:
    """One picture of a figure: the network's decision, and why it was selected.

    why  a few words, as in "right in both"
    """

    decision: Decision
    why: str = ""

    @property
    def case(self) -> Case:
        """What is explained: the class, or the similarity to the decision's reference."""
        return Case(self.decision.picture, self.decision.reference)


@dataclass(frozen=True)
class Selection:
    """The pictures that a figure shows of one model.

    rule    the rule as text
    met     False if too few pictures satisfy it, and the nearest are shown
    counts  step of the rule, as text -> number of pictures left
    """

    figure: str
    model: str
    rule: str
    met: bool
    chosen: tuple[Chosen, ...]
    counts: dict[str, int] = field(default_factory=dict)


def write(path: Path, selection: Selection) -> None:
    """Write a selection as JSON."""
    write_json(path, asdict(selection))


def read(path: Path) -> Selection:
    """Return the selection of a JSON file. Raises BadInput if it is missing or damaged."""
    if not path.is_file():
        raise BadInput(f"{path}: there is no such file. Make it: python -m pipeline.select.")
    try:
        content = read_json(path)
        chosen = tuple(_chosen(one) for one in content.pop("chosen"))
        return Selection(**content, chosen=chosen)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise BadInput(
            f"{path} is no selection ({type(error).__name__}: {error}). Make it again: "
            "python -m pipeline.select."
        ) from None


def _chosen(one: dict) -> Chosen:
    decision = one["decision"] | {"support": tuple(one["decision"]["support"])}
    return Chosen(Decision(**decision), one["why"])
