"""How files and what went wrong with them are told of."""

from __future__ import annotations

from pathlib import Path

from naflow.errors import printable


def shown(path: Path) -> str:
    """A path as text that can be printed, also where its bytes are no text, and on one line: what
    would move the cursor or colour the screen is written out."""
    return printable(path.as_posix())


def reason(error: BaseException) -> str:
    """An exception that is not ours, in a few words."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
