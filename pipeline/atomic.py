"""Files that are either whole or absent: written beside their place, then moved there."""

import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4


@contextmanager
def replacing(path: str | Path) -> Generator[Path]:
    """Yield a temporary path of the same ending; when the block ends well it becomes `path`.

    The temporary name is no other writer's, not even on another machine with the same disk.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{uuid4().hex}.{path.name}")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: str | Path, content: object) -> None:
    """Write JSON that reads well and whose bytes depend on `content` alone."""
    with replacing(path) as partial:
        partial.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
