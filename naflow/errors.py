"""What can go wrong, said in one sentence each: what was wrong, where, and what to do."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable

#: Control and format characters, line and paragraph separators, halves of characters.
_ACTING = ("Cc", "Cf", "Zl", "Zp", "Cs")
_JOINERS = "\u200c\u200d"  # part of how words and pictographs are spelled


class NAFlowError(ValueError):
    """Base of every error this library raises on purpose, with a line or several.

    A line may name files, layers and classes of others: no character of it acts on a screen.
    """

    def __str__(self) -> str:
        return "\n".join(printable(str(line)) for line in self.args)


class BadInput(NAFlowError):
    """The images, the score or a setting cannot be used as given."""


class UnsupportedModel(NAFlowError):
    """The model cannot be cut into units; the message names the layer and the way out."""


class NotFinite(NAFlowError):
    """A NaN or an infinity appeared; the message names the layer and the images."""


def out_of_memory(error: BaseException) -> bool:
    """Whether the memory, of this machine or of its GPU, was too small."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)


def printable(text: str) -> str:
    """Text on one line, with whatever a screen would act on, and bytes that are none, written out:
    control characters and marks that turn the direction of text, by their numbers."""
    return "".join(_escaped(one) if _acts(one) else one for one in text)


def _acts(character: str) -> bool:
    return unicodedata.category(character) in _ACTING and character not in _JOINERS


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def is_one_of(value: object, allowed: Iterable[str | int]) -> bool:
    """Whether a setting is one of these words or numbers. An array is none, and has no truth."""
    return isinstance(value, (str, int)) and value in tuple(allowed)


def near_names(name: str, known: Iterable[str]) -> str:
    """`" Did you mean 'a' or 'b'?"`, or the first few known names where nothing is near; ""
    where none is known. A name that is spelled with other marks, as in gradcam++ and Cf-CAM, is
    meant."""
    known = list(known)
    if not known:
        return ""
    same = [one for one in known if _letters(one) == _letters(name)]
    near = same[:3] or difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if near:
        return " Did you mean " + " or ".join(repr(n) for n in near) + "?"
    shown = ", ".join(known[:12]) + (", ..." if len(known) > 12 else "")
    return f" Known: {shown}."


def _letters(name: str) -> str:
    """What is left of a name without its marks: all of it, where it is nothing but marks."""
    bare = name.casefold().replace("+", "plus")
    return "".join(filter(str.isalnum, bare)) or name
