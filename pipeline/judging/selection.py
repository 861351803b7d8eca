"""The pictures a figure shows, and how they were found: written by `select`, read by figures."""

from dataclasses import asdict, dataclass, field
from pathlib import Path

from naflow.errors import BadInput
from pipeline.atomic import read_json, write_json
from pipeline.explanations.cases import Case
from pipeline.judging.decisions import Decision


@dataclass(frozen=True)
class Chosen:
    """One picture of a figure: what the network decided for it, and why it was chosen.

    why  a few words, as in "simple, right in both"
    """

    decision: Decision
    why: str = ""

    @property
    def case(self) -> Case:
        """What is explained: the class, or the likeness to the decision's reference."""
        return Case(self.decision.picture, self.decision.reference)


@dataclass(frozen=True)
class Selection:
    """What a figure shows of one model.

    rule    the rule in words
    met     False where no picture satisfies it, and the nearest are shown
    counts  how many pictures there were at each step of the rule, in words -> number
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
    """Read a selection. Raises BadInput where there is none, or a damaged one."""
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
