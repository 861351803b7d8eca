"""Show the library's docstrings as they are meant: aligned columns are lists of names.

A docstring lists what it explains as "name  what it is", two spaces or more between, the lines that
go on indented below the words. Markdown would run them together, so each becomes an item of a list.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

_ENTRY = re.compile(r"^(?P<name>\S+(?: \S+)*?)(?P<gap> {2,})(?P<words>\S.*)$")


class Columns(griffe.Extension):
    """Rewrites every docstring of the package as it is loaded."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)


def as_markdown(text: str) -> str:
    """The docstring with its columns as lists, and what looks like HTML as text."""
    found: list[str] = []
    column = 0  # where the words of the entry above began; 0 outside a list
    for line in text.splitlines():
        entry = _ENTRY.match(line)
        if entry:
            if not column and found and found[-1]:
                found.append("")
            found.append(f"- `{entry['name']}`: {_text(entry['words'])}")
            column = entry.start("words")
        elif column and line.startswith(" ") and len(line) - len(line.lstrip()) >= column:
            found.append(f"    {_text(line.strip())}")
        else:
            if column and line.strip():
                found.append("")
            column = column if not line.strip() else 0
            found.append(_text(line))
    return "\n".join(found)


def _text(line: str) -> str:
    parts = line.split("`")  # every second one is code
    return "`".join(p if i % 2 else p.replace("<", "&lt;") for i, p in enumerate(parts))
