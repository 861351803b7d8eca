"""A file that tests download, another one of its size, and what a download leaves behind."""

import hashlib
import random
from pathlib import Path

from faulty_server import FaultyServer

CONTENT = random.Random(0).randbytes(700_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
OTHER = bytes(reversed(CONTENT))


def leftovers(target: Path) -> list[str]:
    """What lies beside the file, without the lock, which some systems keep."""
    return [path.name for path in target.parent.iterdir() if not path.name.endswith(".lock")]


def complete(target: Path) -> bool:
    return target.read_bytes() == CONTENT and leftovers(target) == [target.name]


def ranges(server: FaultyServer) -> list[str | None]:
    return [headers.get("Range") for _, headers in server.requests]
