"""Cases: what is explained, a picture's class or its similarity to a reference picture.

A list of cases is a JSON file, written by `select` and read by `explain`.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Protocol, TypeVar

from torch import Tensor
from torch.nn.functional import normalize

from naflow.errors import BadInput
from pipeline.atomic import read_json, write_json
from pipeline.pictures.images import Picture


@dataclass(frozen=True)
class Case:
    """One explanation, by the ids of its pictures.

    picture    the picture that is explained
    reference  the picture it is similar to: support picture, neighbour, retrieved picture; "" if a
               class is explained
    """

    picture: str
    reference: str = ""

    @property
    def pictures(self) -> tuple[str, ...]:
        """The ids of the case: the picture's, and its reference's if it has one."""
        return (self.picture, self.reference) if self.reference else (self.picture,)

    @property
    def turned(self) -> "Case":
        """The same similarity with picture and reference exchanged."""
        return Case(self.reference, self.picture)


def write(path: Path, cases: Sequence[Case]) -> None:
    """Write a list of cases, in order, without repetitions."""
    write_json(path, [asdict(case) for case in dict.fromkeys(cases)])


def read(path: Path) -> list[Case]:
    """Read a list of cases. Raises BadInput for a file that is missing or no such list."""
    if not path.is_file():
        raise BadInput(
            f"explain.cases={path}: there is no such file. Make it (python -m pipeline.select), "
            "or leave the choice to the stage with explain.cases=null."
        )
    try:
        return [Case(**row) for row in read_json(path)]
    except (TypeError, ValueError) as error:
        raise BadInput(
            f"{path} is no list of cases, each a 'picture' with or without a 'reference': {error}."
        ) from None


class Labelled(Protocol):
    """Has the name of a class as `label`: a picture, or a decision about one."""

    @property
    def label(self) -> str: ...


T = TypeVar("T", bound=Labelled)


def in_turn(items: Sequence[T], classes: Sequence[str] = ()) -> list[T]:
    """Order items by turns: the first of each class, then the second of each, ... The classes are
    in the order given, else as they first occur."""
    of_class: dict[str, list[T]] = {name: [] for name in classes}
    for item in items:
        of_class.setdefault(item.label, []).append(item)
    return [one for row in zip_longest(*of_class.values()) for one in row if one is not None]


def most_alike(
    pictures: Sequence[Picture], known: Sequence[Picture], found: Tensor, of_known: Tensor
) -> list[Case]:
    """Pair each picture with the known picture, other than itself, of the largest cosine.

    found (N, ...) and of_known (M, ...) are the embeddings. Raises BadInput if a picture is itself
    the only known one.
    """
    alike = normalize(found.flatten(1)) @ normalize(of_known.flatten(1)).T
    for picture in pictures:
        if all(other.id == picture.id for other in known):
            raise BadInput(f"{picture.id} is the only picture: there is nothing to liken it to.")
    for row, picture in zip(alike, pictures, strict=True):
        for number, other in enumerate(known):
            if other.id == picture.id:
                row[number] = -2  # below every cosine
    nearest = alike.argmax(1).tolist()
    return [Case(one.id, known[at].id) for one, at in zip(pictures, nearest, strict=True)]
