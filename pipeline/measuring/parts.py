"""Tables of batches, kept as they are made: what was measured once is not measured again."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipeline.atomic import replacing

DIGITS = "%.6f"
KINDS = ("flow", "layers")  # in the order they are written: the last one says that all are there

Tables = tuple[pd.DataFrame, ...]  # one of each kind


@dataclass(frozen=True)
class Parts:
    """The tables of a job, a file a batch and kind.

    folder  where they lie
    job     a hash of all that decides their numbers, but for the pictures
    """

    folder: Path
    job: str

    def key(self, batch: Sequence[object]) -> str:
        """The name of a batch of pictures, in the state in which they are measured."""
        return hashlib.sha256(f"{self.job} {list(batch)!r}".encode()).hexdigest()[:20]

    def done(self, key: str) -> bool:
        """Whether a batch was measured to its end."""
        return self._paths(key)[-1].is_file()

    def read(self, key: str) -> Tables:
        """The tables of a batch, as text: so they are written again as they are."""
        paths = self._paths(key)
        return tuple(pd.read_csv(path, dtype=str, keep_default_na=False) for path in paths)

    def write(self, key: str, tables: Tables) -> None:
        """Keep the tables of a batch."""
        for path, table in zip(self._paths(key), tables, strict=True):
            write(path, table)

    def _paths(self, key: str) -> list[Path]:
        return [self.folder / f"{key}.{kind}.csv" for kind in KINDS]


def write(path: Path, table: pd.DataFrame) -> None:
    """Write a table whose bytes depend on its numbers to six digits."""
    with replacing(path) as unfinished:
        table.to_csv(unfinished, index=False, float_format=DIGITS, lineterminator="\n")
