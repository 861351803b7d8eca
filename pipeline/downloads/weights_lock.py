"""The lock file of weights: hashes of verified downloads for which no hash is published.

A JSON object of model name -> {file, size, sha256, address}, under version control. It records the
first file from a published address whose network passes its gate; every later download gives the
same file or an error.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock

from naflow.errors import BadInput
from pipeline.atomic import read_json, write_json


@dataclass(frozen=True)
class Entry:
    """One file: its name, its size in bytes, its sha256, and its published address; "" if it came
    from a mirror or was placed by hand.
    """

    file: str
    size: int
    sha256: str
    address: str


def read(path: str | Path) -> dict[str, Entry]:
    """Return the entries by model name; none if there is no file. Raises BadInput if damaged."""
    path = Path(path)
    if not path.exists():
        return {}
    try:
        return {name: _entry(told) for name, told in read_json(path).items()}
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise BadInput(
            f"{path} is no lock file of weights ({error}). Restore it from version control."
        ) from None


def _entry(told: dict) -> Entry:
    """Return an entry. Raises ValueError or TypeError if it is none."""
    entry = Entry(**told)
    texts = (entry.file, entry.sha256, entry.address)
    if not (all(isinstance(text, str) for text in texts) and type(entry.size) is int):
        raise ValueError(f"{told} is no entry")
    return entry


def record(path: str | Path, name: str, entry: Entry) -> None:
    """Add or replace the entry of model `name`; several processes may do so at once.

    Raises BadInput if the file is damaged or cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.name}.lock")):
            entries = read(path) | {name: entry}
            write_json(path, {name: asdict(entry) for name, entry in entries.items()})
    except OSError as error:
        raise BadInput(
            f"{path} cannot be written: {error.strerror or error}. Fix that, or give fetch.lock."
        ) from None
