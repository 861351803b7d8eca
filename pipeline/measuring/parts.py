"""Store the tables of each batch, so that no batch is measured twice."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipeline.atomic import replacing

DIGITS = "%.6f"
KINDS = ("flow", "layers")  # in the order of writing: the last one shows that all are there

Tables = tuple[pd.DataFrame, ...]  # one of each kind


@dataclass(frozen=True)
class Parts:
    """The tables of a job, one file for each batch and kind.

    folder  their folder
    job     a hash of all that determines their numbers, except the pictures
    """

    folder: Path
    job: str

    def key(self, batch: Sequence[object]) -> str:
        """Return the name of a batch of pictures, which depends on their content."""
        return hashlib.sha256(f"{self.job} {list(batch)!r}".encode()).hexdigest()[:20]

    def done(self, key: str) -> bool:
        """Whether all tables of a batch are stored."""
        return self._paths(key)[-1].is_file()

    def read(self, key: str) -> Tables:
        """Read the tables of a batch, as text, so that writing them again does not change them."""
        paths = self._paths(key)
        return tuple(pd.read_csv(path, dtype=str, keep_default_na=False) for path in paths)

    def write(self, key: str, tables: Tables) -> None:
        """Store the tables of a batch."""
        for path, table in zip(self._paths(key), tables, strict=True):
            write(path, table)

    def _paths(self, key: str) -> list[Path]:
        return [self.folder / f"{key}.{kind}.csv" for kind in KINDS]


def write(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV with six decimals."""
    with replacing(path) as unfinished:
        table.to_csv(unfinished, index=False, float_format=DIGITS, lineterminator="\n")
