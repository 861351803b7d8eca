"""Photos of any kind as the square of pixels that a network sees."""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from naflow.cli.files import reason, shown
from naflow.errors import BadInput

if TYPE_CHECKING:
    from PIL.Image import Image

ENDINGS = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
_DEPTH = 257  # 65535 / 255: from 16 bits a channel to 8


@dataclass(frozen=True)
class PhotoFile:
    """A file of the disk, read once, and the name of the folder that its results go to.

    The same name and content give the same key, another name or content another.
    """

    path: Path
    content: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def key(self) -> str:
        return f"{shown(Path(self.path.stem))}-{self.sha256[:8]}"


def photo_paths(given: Sequence[Path]) -> list[Path]:
    """The photos given, and those of the folders given (not of folders inside), by name.

    Raises BadInput for a path that is not there and for a folder without photos.
    """
    found: list[Path] = []
    for path in given:
        if path.is_dir():
            inside = sorted(
                file
                for file in path.iterdir()
                if file.suffix.lower() in ENDINGS and not file.is_dir()
            )
            if not inside:
                raise BadInput(f"{shown(path)}: no photos in this folder.")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise BadInput(f"{shown(path)}: there is no such photo.")
    return list(dict.fromkeys(found))


def square(file: PhotoFile, size: int) -> np.ndarray:
    """The largest square in the middle of the upright photo, (size, size, 3) uint8 RGB.

    Transparent pixels lie on white; of several frames the first is taken. Raises BadInput, naming
    the photo, for a file that is damaged or no picture.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on large pictures, and on faults that do no harm
            with Image.open(io.BytesIO(file.content)) as image:
                rgb = _rgb(ImageOps.exif_transpose(image))
    except UnidentifiedImageError:
        raise BadInput(f"{shown(file.path)} is no picture, or a damaged one.") from None
    except Exception as error:  # a damaged file can raise anything
        raise BadInput(f"{shown(file.path)} cannot be decoded ({reason(error)}).") from None
    side, (width, height) = min(rgb.size), rgb.size
    left, top = (width - side) / 2, (height - side) / 2
    box = (left, top, left + side, top + side)
    return np.asarray(rgb.resize((size, size), Image.Resampling.BILINEAR, box=box))


def _rgb(image: Image) -> Image:
    from PIL import Image as images

    if image.mode.startswith("I"):
        image = images.fromarray((np.asarray(image) // _DEPTH).clip(0, 255).astype(np.uint8))
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers of unknown range")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = images.new("RGBA", image.size, "white")
        image = images.alpha_composite(white, image)
    return image.convert("RGB")


def normalised(
    squares: Iterable[np.ndarray], mean: Sequence[float], std: Sequence[float]
) -> Tensor:
    """Squares (H, W, 3) uint8 as a network's input (B, 3, H, W): (x / 255 - mean) / std."""
    images = torch.from_numpy(np.stack(list(squares))).permute(0, 3, 1, 2).float() / 255
    shift, scale = (torch.tensor(list(v))[:, None, None] for v in (mean, std))
    return ((images - shift) / scale).contiguous()
