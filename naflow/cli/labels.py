"""Class names: where they come from, and which class a name or a number means."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from naflow.errors import BadInput, near_names
from naflow.models import checkpoint

_DIGITS = 18  # a class has fewer, and Python refuses to read thousands


def class_names(
    labels: Sequence[str] | None,
    weights: Path | None,
    categories: Sequence[str] | None,
    classes: int,
) -> list[str] | None:
    """The names of a network's classes in order: the user's own, else those that the file of
    weights tells, else the published ones; None where none fit the number of classes.

    Raises BadInput where the user's own are another number.
    """
    if labels is not None:
        if len(labels) != classes:
            raise BadInput(f"--labels has {len(labels)} names, the network {classes} classes.")
        return list(labels)
    told = None
    if weights is not None and weights.suffix == ".safetensors":
        told = checkpoint.load_safetensors(weights)[1].get("classes")
    for names in (told, categories):
        if names is not None and len(names) == classes:
            return list(names)
    return None


def class_index(target: str, names: Sequence[str] | None, classes: int) -> int:
    """The class that a number or a name stands for.

    Raises BadInput, with the near names, where there is none, and where it is not one alone.
    """
    if target.removeprefix("-").isdecimal():
        if len(target) > _DIGITS or not 0 <= int(target) < classes:
            raise BadInput(f"--target {target[:40]}: the network has classes 0 to {classes - 1}.")
        return int(target)
    if names is None:
        raise BadInput(f"--target {target}: no class names are known; give --labels or a number.")
    found = [index for index, name in enumerate(names) if name == target]
    if not found:
        raise BadInput(f"--target: there is no class {target!r}.{near_names(target, names)}")
    if len(found) > 1:
        numbers = " and ".join(map(str, found))
        raise BadInput(f"--target: classes {numbers} are all called {target!r}; give the number.")
    return found[0]


def read(path: Path) -> list[str]:
    """The names of a text file, one a line. Raises BadInput where it is missing or no text."""
    if not path.is_file():
        raise BadInput(f"{path}: there is no such file of class names.")
    try:
        return path.read_text("utf-8-sig").rstrip().splitlines()
    except UnicodeDecodeError:
        raise BadInput(f"{path} is no UTF-8 text: save the class names as UTF-8.") from None
