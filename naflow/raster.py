"""Decode picture files: pixels that are right, or an error that names the file and the reason.

The command line and the pipeline read their pictures with this module. Pillow is imported when it
is needed.
"""

from __future__ import annotations

import io
import logging
import stat
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from naflow import libtiff
from naflow.errors import BadInput

if TYPE_CHECKING:
    from PIL.Image import Image

#: Formats that are read. Pillow knows more: for EPS it starts other programs, most were not tried.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
ENDINGS = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
PIXELS = 100_000_000  # the most pixels of a picture
BYTES = 2**29  # the largest file

# Our errors say what is wrong with a picture; Pillow must not log it to stderr as well.
logging.getLogger("PIL").addHandler(logging.NullHandler())

_MIN_IS_WHITE = 0
_BITS_PER_SAMPLE, _PHOTOMETRIC = 258, 262  # tags of TIFF


def content(path: Path, name: str) -> bytes:
    """Return the bytes of a file. Raises BadInput, with `name` in its message, if `path` is not a
    regular file, cannot be read, or is larger than BYTES."""
    try:
        about = path.stat()  # before opening: to open a pipe would block
        if not stat.S_ISREG(about.st_mode):
            kind = "a folder" if stat.S_ISDIR(about.st_mode) else "a pipe, socket or device"
            raise BadInput(f"{name} is {kind}, not a picture's file.")
        if about.st_size > BYTES:
            raise BadInput(f"{name} has {about.st_size:,} bytes; at most {BYTES:,} are read.")
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"{name} cannot be read ({error.strerror or error}).") from None


def decoded(data: bytes, name: str) -> Image:
    """Return the picture in `data`, rotated as its EXIF says, in its own mode; of several frames
    the first.

    Raises BadInput, with `name` in its message, if the picture is damaged, in a format that is not
    in FORMATS, or has more than PIXELS pixels.
    """
    return _decoded(data, name)[0]


def rgb(data: bytes, name: str) -> Image:
    """Return the picture in `data`, rotated as its EXIF says, as RGB, on a white background.

    Raises BadInput, with `name` in its message, for what `decoded` refuses and for pixels of
    unknown range: signed or 32-bit integers, and floating-point numbers.
    """
    image, grey = _decoded(data, name)
    if grey is not None:
        image = _shades(image, grey)
    if image.mode in ("I", "F"):
        what = "signed or 32-bit integers" if image.mode == "I" else "floating-point numbers"
        raise BadInput(
            f"{name} holds {what}, of which no range is known: save it with 8 or 16 bits."
        )
    try:
        return _opaque(image).convert("RGB")
    except Exception as error:  # colours that Pillow does not convert
        raise BadInput(f"{name}: mode {image.mode} is not read ({_reason(error)}).") from None


def cut(image: Image, box: tuple[float, float, float, float], size: int) -> np.ndarray:
    """Return the part `box` = (x0, y0, x1, y1), in pixels, of an RGB picture, resized to
    (size, size, 3) uint8."""
    from PIL.Image import Resampling

    return np.asarray(image.resize((size, size), Resampling.BILINEAR, box=box))


def normalised(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Return uint8 images (B, 3, H, W) as network input, float32: (x / 255 - mean) / std per
    channel."""
    shift = torch.tensor(list(mean), device=images.device)[:, None, None]
    scale = torch.tensor(list(std), device=images.device)[:, None, None]
    return (images.float() / 255 - shift) / scale


@dataclass(frozen=True)
class _Grey:
    """The range of grey values of more than 8 bits: 2**bits - 1 is white, or black if inverted."""

    bits: int
    inverted: bool


def _decoded(data: bytes, name: str) -> tuple[Image, _Grey | None]:
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with warnings.catch_warnings(), libtiff.listening() as damage:
            warnings.simplefilter("ignore")  # about large pictures and harmless faults
            with Image.open(io.BytesIO(data), formats=FORMATS) as file:
                _check_size(file.size, name)
                grey = _grey(file)
                raw = str(file.tile[0][3]) if file.format == "PNG" else ""
                file.load()  # the transparency may follow the pixels in the file
                if damage:  # Pillow returns pixels nevertheless
                    raise BadInput(f"{name} is damaged: libtiff cannot decode all of its pixels.")
                _tell_transparent(file, raw)
                return ImageOps.exif_transpose(file), grey
    except BadInput:
        raise
    except UnidentifiedImageError:
        raise BadInput(
            f"{name} is no picture of a kind that is read ({', '.join(FORMATS)}), or a damaged one."
        ) from None
    except Image.DecompressionBombError:
        raise BadInput(
            f"{name} has more pixels than the {PIXELS:,} that are read: make it smaller."
        ) from None
    except Exception as error:  # a damaged file can raise anything
        raise BadInput(f"{name} cannot be decoded ({_reason(error)}).") from None


def _check_size(size: tuple[int, int], name: str) -> None:
    width, height = size
    if width * height > PIXELS:
        raise BadInput(
            f"{name} is {width} x {height} pixels; at most {PIXELS:,} are read: make it smaller."
        )
    if not width * height:
        raise BadInput(f"{name} has no pixels.")


def _grey(file: Image) -> _Grey | None:
    """Return the range of grey values of more than 8 bits; None for pixels of at most 8 bits, and
    for those of unknown range."""
    # Older versions of Pillow read a PNG of 16 bits as "I", the mode of a TIFF of 32 bits.
    if not (file.mode.startswith("I;16") or (file.mode == "I" and file.format == "PNG")):
        return None
    tags = getattr(file, "tag_v2", {})
    bits = int(tags.get(_BITS_PER_SAMPLE, (16,))[0])
    return _Grey(bits, tags.get(_PHOTOMETRIC) == _MIN_IS_WHITE)


def _shades(image: Image, grey: _Grey) -> Image:
    """Return the picture with 8 bits of grey, and its transparent pixels as an alpha channel."""
    from PIL import Image as images

    values = np.asarray(image)
    share = (values / np.float32(2**grey.bits - 1)).clip(0, 1)
    shades = 255 * (1 - share if grey.inverted else share)
    shaded = images.fromarray(shades.round().astype(np.uint8))
    if "transparency" in image.info:
        alpha = np.where(values == image.info["transparency"], 0, 255)
        shaded.putalpha(images.fromarray(alpha.astype(np.uint8)))
    return shaded


def _tell_transparent(file: Image, raw: str) -> None:
    """Convert a PNG's transparent value to the values that Pillow gives the pixels.

    raw  how the pixels are stored in the file, before Pillow expands them

    Raises ValueError if Pillow's pixels do not determine which ones are transparent.
    """
    clear = file.info.get("transparency")
    if raw == "RGB;16B" and clear is not None:
        raise ValueError("it calls one colour of 16 bits a channel transparent")
    bits = {"1": 1, "L;2": 2, "L;4": 4}.get(raw)
    if bits and isinstance(clear, int):
        file.info["transparency"] = clear * 255 // (2**bits - 1)


def _opaque(image: Image) -> Image:
    from PIL import Image as images

    if not image.has_transparency_data:
        return image
    image = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    return images.alpha_composite(images.new("RGBA", image.size, "white"), image)


def _reason(error: Exception) -> str:
    """Return the type and the first line of an exception that is not ours."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
