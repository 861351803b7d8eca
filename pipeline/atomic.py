"""Files and folders that are either whole or absent, and have one writer at a time."""

import json
from pathlib import Path
from typing import Any

from naflow.atomic import locked, replacing, replacing_folder, restore

__all__ = ["locked", "read_json", "replacing", "replacing_folder", "restore", "write_json"]


def write_json(path: str | Path, content: object) -> None:
    """Write indented JSON; equal content gives equal bytes."""
    with replacing(path) as partial:
        partial.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")


def read_json(path: str | Path) -> Any:
    """Return the content of a JSON file. Raises ValueError if it is no JSON, or nested too deeply
    to be read."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
