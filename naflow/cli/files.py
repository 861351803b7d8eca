"""Paths and exceptions as text for messages."""

from __future__ import annotations

from pathlib import Path

from naflow.errors import printable


def shown(path: Path) -> str:
    """Return a path as printable text on one line: bytes that are no text, and control characters,
    become escape sequences."""
    return printable(path.as_posix())


def reason(error: BaseException) -> str:
    """Return an exception that is not ours as one short line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
