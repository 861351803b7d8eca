"""Class names: where they come from, and which class a name or a number means."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from naflow.cli.question import Target
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


def targets(words: Sequence[str], names: Sequence[str] | None, classes: int) -> list[Target]:
    """The classes that the words of --target stand for, each once.

    Raises BadInput as `classes_called` does, and for two words of the same classes.
    """
    found: list[Target] = []
    for word in words:
        target = Target(word, tuple(classes_called(word, names, classes)))
        for other in found:
            if set(target.classes) & set(other.classes) or target.slug == other.slug:
                raise BadInput(
                    f"--target: {other.word!r} and {word!r} may stand for the same class: give one "
                    "of them, or whole names."
                )
        found.append(target)
    return found


def classes_called(word: str, names: Sequence[str] | None, classes: int) -> list[int]:
    """The classes that a number, a name or a part of a name stands for: the class of that number
    or name, else those with these words in their name, else those with these letters; in capitals
    or not.

    Raises BadInput, with the near names, where there is none, and where two have the same name.
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
    """The names of a text file, one a line. Raises BadInput where it is missing or no text, or a
    name is too long to be drawn."""
    if not path.is_file():
        raise BadInput(f"{path}: there is no such file of class names.")
    try:
        names = path.read_text("utf-8-sig").rstrip().splitlines()
    except UnicodeDecodeError:
        raise BadInput(f"{path} is no UTF-8 text: save the class names as UTF-8.") from None
    if any(len(name) > checkpoint.LONGEST for name in names):
        raise BadInput(f"{path}: a name has more than {checkpoint.LONGEST} letters.")
    return names
