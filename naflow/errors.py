"""The exceptions of the library. Each message says what was wrong, where, and what to do."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable

#: Unicode categories: control, format, line separator, paragraph separator, surrogate.
_ACTING = ("Cc", "Cf", "Zl", "Zp", "Cs")
_JOINERS = "\u200c\u200d"  # part of how words and pictographs are spelled


class NAFlowError(ValueError):
    """Base class of every error that this library raises on purpose; one line or several.

    A message may quote names from files and models, so control characters in it are escaped.
    """

    def __str__(self) -> str:
        return "\n".join(printable(str(line)) for line in self.args)


class BadInput(NAFlowError):
    """The images, the score or a setting cannot be used as given."""


class UnsupportedModel(NAFlowError):
    """The model cannot be explained; the message names the layer and what to do instead."""


class NotFinite(NAFlowError):
    """A NaN or an infinity appeared; the message names the layer and the images."""


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the memory of the machine or of its GPU was too small."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)


def printable(text: str) -> str:
    """Return the text with every control character, line break, direction mark and undecodable byte
    as an escape sequence, so that a terminal prints it on one line and does not act on it."""
    return "".join(_escaped(one) if _acts(one) else one for one in text)


def _acts(character: str) -> bool:
    return unicodedata.category(character) in _ACTING and character not in _JOINERS


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def is_one_of(value: object, allowed: Iterable[str | int]) -> bool:
    """Whether a setting is one of these words or numbers. An array is none, and has no truth."""
    return isinstance(value, (str, int)) and value in tuple(allowed)


def near_names(name: str, known: Iterable[str]) -> str:
    """Return `" Did you mean 'a' or 'b'?"`, or the first twelve known names if none is similar, or
    "" if there are none. Punctuation and case do not count: gradcam++ is near gradcam_plus_plus."""
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
    """The letters and digits of a name; the name itself if it has none."""
    bare = name.casefold().replace("+", "plus")
    return "".join(filter(str.isalnum, bare)) or name
