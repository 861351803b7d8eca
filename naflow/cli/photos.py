"""Photos of any kind as the square of pixels that a network sees."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from naflow import raster
from naflow.cli.files import shown
from naflow.errors import BadInput
from naflow.models import Input
from naflow.models.preprocessing import pixels

_STEM = 120  # bytes of a name that stand in its folder's: file systems take 255
_DIGITS = 32  # of the hash: 128 bits, so that nobody can make two pictures share a folder


@dataclass(frozen=True)
class PhotoFile:
    """A file of the disk, read once, and the name of the folder that its results go to.

    The same name and content give the same key, another name or content another; of names of more
    than _STEM bytes only their beginning counts.
    """

    path: Path
    content: bytes

    @classmethod
    def read(cls, path: Path) -> PhotoFile:
        """Raises BadInput for what is no file or cannot be read."""
        return cls(path, raster.content(path, shown(path)))

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def key(self) -> str:
        stem = shown(Path(self.path.stem)).encode()[:_STEM].decode("utf-8", "ignore")
        return f"{stem}-{self.sha256[:_DIGITS]}"


def photo_paths(given: Sequence[Path]) -> list[Path]:
    """The photos given, and those of the folders given (not of folders inside), by name.

    What has a photo's ending counts as one; whether it is one, reading it tells. Raises BadInput
    for a path that is not there and for a folder without photos.
    """
    found: list[Path] = []
    for path in given:
        photo = path.suffix.lower() in raster.ENDINGS
        if os.path.isdir(path):
            inside = sorted(f for f in path.iterdir() if f.suffix.lower() in raster.ENDINGS)
            if not inside and not photo:
                raise BadInput(f"{shown(path)}: no photos in this folder.")
            found += inside or [path]
        elif os.path.lexists(path):
            found.append(path)
        else:
            raise BadInput(f"{shown(path)}: there is no such photo.")
    return list(dict.fromkeys(found))


def square(file: PhotoFile, wanted: Input) -> np.ndarray:
    """What a network sees of the upright photo, (size, size, 3) uint8 RGB.

    Raises BadInput, naming the photo, for one that cannot be read as a picture (naflow.raster).
    """
    return pixels(raster.rgb(file.content, shown(file.path)), wanted)
