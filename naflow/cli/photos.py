"""Find photos, read them, and crop them to the square that a network sees."""

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

_STEM = 120  # bytes of a photo's name used in its folder's name; file systems take 255
_DIGITS = 32  # of the hash: with 128 bits, nobody can make two pictures share a folder


@dataclass(frozen=True)
class PhotoFile:
    """A photo's path and its bytes, read once. `key` is the name of the folder of its results.

    Two photos have the same key if name and content are the same; of a long name only the first
    _STEM bytes count.
    """

    path: Path
    content: bytes

    @classmethod
    def read(cls, path: Path) -> PhotoFile:
        """Read a photo. Raises BadInput if it is no file or cannot be read."""
        return cls(path, raster.content(path, shown(path)))

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def key(self) -> str:
        stem = shown(Path(self.path.stem)).encode()[:_STEM].decode("utf-8", "ignore")
        return f"{stem}-{self.sha256[:_DIGITS]}"


def photo_paths(given: Sequence[Path]) -> list[Path]:
    """Return the paths of the photos given and of those in the folders given (not in subfolders),
    by name.

    A file in a folder counts as a photo if it has a photo's suffix. Raises BadInput for a path that
    does not exist and for a folder without photos.
    """
    photos: list[Path] = []
    for path in given:
        photo = path.suffix.lower() in raster.ENDINGS
        if os.path.isdir(path):
            inside = sorted(f for f in path.iterdir() if f.suffix.lower() in raster.ENDINGS)
            if not inside and not photo:
                raise BadInput(f"{shown(path)}: no photos in this folder.")
            photos += inside or [path]
        elif os.path.lexists(path):
            photos.append(path)
        else:
            raise BadInput(f"{shown(path)}: there is no such photo.")
    return list(dict.fromkeys(photos))


def square(file: PhotoFile, wanted: Input) -> np.ndarray:
    """Return the part of the upright photo that a network sees, (size, size, 3) uint8 RGB.

    Raises BadInput, naming the photo, for one that cannot be read as a picture (naflow.raster).
    """
    return pixels(raster.rgb(file.content, shown(file.path)), wanted)
