"""What can go wrong, said in one sentence each: what was wrong, where, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class NAFlowError(ValueError):
    """Base of every error this library raises on purpose."""


class BadInput(NAFlowError):
    """The images, the score or a setting cannot be used as given."""


class UnsupportedModel(NAFlowError):
    """The model cannot be cut into units; the message names the layer and the way out."""


class NotFinite(NAFlowError):
    """A NaN or an infinity appeared; the message names the layer and the images."""


def near_names(name: str, known: Iterable[str]) -> str:
    """`" Did you mean 'a' or 'b'?"`, or the first few known names where nothing is near."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if near:
        return " Did you mean " + " or ".join(repr(n) for n in near) + "?"
    shown = ", ".join(known[:12]) + (", ..." if len(known) > 12 else "")
    return f" Known: {shown}."
