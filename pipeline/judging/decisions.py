"""Tables of a network's decisions, one per picture, from which figures select their pictures."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from naflow.errors import BadInput
from pipeline.atomic import replacing


@dataclass(frozen=True)
class Decision:
    """One decision of a network.

    trial      key of the decision, the same for every network: the picture, or episode and picture
    picture    id of the picture
    label      its class
    predicted  the predicted class
    margin     how clear the decision is, as the protocol defines it: 0 is a tie
    reference  id of the most similar picture of the predicted class, "" if none
    support    ids of the support pictures of a few-shot episode, one per class
    """

    trial: str
    picture: str
    label: str
    predicted: str
    margin: float
    reference: str = ""
    support: tuple[str, ...] = ()

    @property
    def right(self) -> bool:
        """Whether the predicted class is the picture's."""
        return self.predicted == self.label


def write(path: Path, decisions: Sequence[Decision]) -> None:
    """Write decisions as a CSV file, one per row."""
    rows = [
        asdict(one) | {"support": json.dumps(one.support), "margin": round(one.margin, 6)}
        for one in decisions
    ]
    with replacing(path) as partial:
        pd.DataFrame(rows).to_csv(partial, index=False, lineterminator="\n")


def read(path: Path) -> list[Decision]:
    """Return the decisions of a CSV file. Raises BadInput if it is missing or damaged."""
    if not path.is_file():
        raise BadInput(f"{path}: there is no such file. Make it: python -m pipeline.verify.")
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        return [_decision(row) for row in table.to_dict("records")]
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise BadInput(
            f"{path} is no table of decisions ({type(error).__name__}: {error}). Make it again: "
            "python -m pipeline.verify."
        ) from None


def _decision(row: dict) -> Decision:
    return Decision(
        row["trial"],
        row["picture"],
        row["label"],
        row["predicted"],
        float(row["margin"]),
        row["reference"],
        tuple(json.loads(row["support"])),
    )


class Decided(dict[str, list[Decision]]):
    """Model -> decisions, read from a folder on first access.

    If a network has references, decisions without one are left out: no figure can show them.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def __missing__(self, model: str) -> list[Decision]:
        decisions = read(self.folder / f"{model}.csv")
        self[model] = [one for one in decisions if one.reference] or decisions
        return self[model]
