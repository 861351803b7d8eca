"""Class names, and the classes that a name or a number on the command line means."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from naflow.cli.question import Target
from naflow.errors import BadInput, near_names
from naflow.models import checkpoint

_DIGITS = 18  # more than any class index has; Python refuses to parse thousands of digits


def class_names(
    labels: Sequence[str] | None,
    weights: Path | None,
    categories: Sequence[str] | None,
    classes: int,
) -> list[str] | None:
    """Return the names of a network's classes in order: the user's own (labels), else those of the
    file of weights, else the published ones (categories); None if no list has `classes` names.

    Raises BadInput if the user's own list has another length.
    """
    if labels is not None:
        if len(labels) != classes:
            raise BadInput(f"--labels has {len(labels)} names, the network {classes} classes.")
        return list(labels)
    of_file = None
    if weights is not None and weights.suffix == ".safetensors":
        of_file = checkpoint.load_safetensors(weights)[1].get("classes")
    for names in (of_file, categories):
        if names is not None and len(names) == classes:
            return list(names)
    return None


def targets(words: Sequence[str], names: Sequence[str] | None, classes: int) -> list[Target]:
    """Return the targets of the words after --target.

    Raises BadInput as `classes_called` does, and for two words that share a class.
    """
    chosen: list[Target] = []
    for word in words:
        target = Target(word, tuple(classes_called(word, names, classes)))
        for other in chosen:
            if set(target.classes) & set(other.classes) or target.slug == other.slug:
                raise BadInput(
                    f"--target: {other.word!r} and {word!r} may stand for the same class: give one "
                    "of them, or whole names."
                )
        chosen.append(target)
    return chosen


def classes_called(word: str, names: Sequence[str] | None, classes: int) -> list[int]:
    """Return the classes that a number, a name or a part of a name stands for: the class with that
    number or name, else those whose name contains it as whole words, else those whose name contains
    it. Upper and lower case do not matter.

    Raises BadInput, with similar names, if there is none, and if two have the same name.
    """
    if word.removeprefix("-").isdecimal():
        if len(word) > _DIGITS or not 0 <= int(word) < classes:
            raise BadInput(f"--target {word[:40]}: the network has classes 0 to {classes - 1}.")
        return [int(word)]
    if names is None:
        raise BadInput(f"--target {word}: no class names are known; give --labels or a number.")
    for pattern in (rf"^{re.escape(word)}$", rf"\b{re.escape(word)}\b", re.escape(word)):
        found = [i for i, name in enumerate(names) if re.search(pattern, name, re.IGNORECASE)]
        if found and word.strip():
            break
    else:
        raise BadInput(f"--target: there is no class {word!r}.{near_names(word, names)}")
    for index in found:
        same = [other for other in found if names[other] == names[index]]
        if len(same) > 1:
            numbers = " and ".join(map(str, same))
            raise BadInput(
                f"--target: classes {numbers} are all called {names[index]!r}; give the number."
            )
    return found


def read(path: Path) -> list[str]:
    """Read names from a text file, one per line. Raises BadInput if it is missing or no UTF-8 text,
    or a name is too long to be drawn."""
    if not path.is_file():
        raise BadInput(f"{path}: there is no such file of class names.")
    try:
        names = path.read_text("utf-8-sig").rstrip().splitlines()
    except UnicodeDecodeError:
        raise BadInput(f"{path} is no UTF-8 text: save the class names as UTF-8.") from None
    if any(len(name) > checkpoint.LONGEST for name in names):
        raise BadInput(f"{path}: a name has more than {checkpoint.LONGEST} letters.")
    return names
