"""Kinds of values that a setting may have, each in words and as a test."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Kind:
    """A kind of values.

    words   what is allowed, for messages
    allows  whether a value is of this kind
    """

    words: str
    allows: Callable[[Any], bool]

    def __or__(self, other: "Kind") -> "Kind":
        return Kind(f"{self.words} or {other.words}", lambda v: self.allows(v) or other.allows(v))


def is_number(value: Any) -> bool:
    """Whether a value is a finite number, and not true or false."""
    return type(value) in (int, float) and math.isfinite(value)


def whole(low: int, high: int | None = None) -> Kind:
    """Whole numbers from `low` to `high`."""
    words = f"a whole number of {low} or more" + f", up to {high}" * (high is not None)
    return Kind(
        words,
        lambda v: type(v) is int and v >= low and (high is None or v <= high),
    )


def between(low: float, high: float, ends: str = "") -> Kind:
    """Numbers between two others; ends: "[", "]" or "[]", which of the two are included."""
    words = {
        "": f"a number between {low} and {high}",
        "[]": f"a number from {low} to {high}",
        "[": f"a number of {low} or more, below {high}",
        "]": f"a number above {low}, up to {high}",
    }[ends]
    return Kind(
        words,
        lambda v: (
            is_number(v)
            and (low < v or (v == low and "[" in ends))
            and (v < high or (v == high and "]" in ends))
        ),
    )


def above(low: float) -> Kind:
    """Numbers larger than `low`."""
    return Kind(f"a number above {low}", lambda v: is_number(v) and v > low)


def at_least(low: float) -> Kind:
    """Numbers of at least `low`."""
    return Kind(f"a number of {low} or more", lambda v: is_number(v) and v >= low)


def one_of(*names: str) -> Kind:
    """One of these names."""
    return Kind(f"{', '.join(names[:-1])} or {names[-1]}", lambda v: v in names)


def list_of(kind: Kind, least: int = 0, most: int | None = None) -> Kind:
    """Lists of `least` to `most` values of one kind."""
    some = f"{least} values" if least == most else f"{least} values or more" if least else "values"
    return Kind(
        f"a list of {some}, each {kind.words}",
        lambda v: (
            isinstance(v, list)
            and len(v) >= least
            and (most is None or len(v) <= most)
            and all(map(kind.allows, v))
        ),
    )


NULL = Kind("null", lambda v: v is None)
FLAG = Kind("true or false", lambda v: isinstance(v, bool))
TEXT = Kind("text", lambda v: isinstance(v, str) and bool(v))
NAME = Kind(
    "a name without a slash",
    lambda v: isinstance(v, str) and bool(v) and "/" not in v and v not in (".", ".."),
)
NUMBER = Kind("a number", is_number)
SHARE = between(0, 1, "[]")
