"""Decode pictures and crop them to squares, with mask and box cropped alike."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from naflow import raster
from naflow.errors import BadInput
from naflow.raster import normalised as normalised
from pipeline.pictures.images import Box, Picture

MARGIN = 1.25  # side of the square for fit "box", over the longer side of the object's box


@dataclass(frozen=True)
class Pixels:
    """Arrays of N pictures of `size` pixels a side, all in memory.

    images  (N, 3, size, size) uint8
    labels  (N,) int64, the index in `classes`; -1 for a class that is not there
    masks   (N, size, size) bool; all False for a picture without a mask
    boxes   (N, 4) float32, x0, y0, x1, y1; NaN for a picture without a box
    """

    ids: list[str]
    images: Tensor
    labels: Tensor
    masks: Tensor
    boxes: Tensor


def read(
    pictures: Sequence[Picture],
    classes: Sequence[str],
    size: int,
    fit: str,
    quiet: bool | None = None,
) -> Pixels:
    """Decode pictures. Raises BadInput, naming the first file that cannot be decoded."""
    images, masks, boxes = [], [], []
    for picture in tqdm(pictures, desc="pictures", disable=quiet):
        image = _opened(picture.image, raster.rgb)
        cut = square(image.size, fit, picture.box)
        images.append(raster.cut(image, cut, size))
        masks.append(_mask(picture, image.size, cut, size))
        boxes.append(_box(picture, cut, size))
    position = {name: number for number, name in enumerate(classes)}
    return Pixels(
        [picture.id for picture in pictures],
        torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous(),
        torch.tensor([position.get(picture.label, -1) for picture in pictures]),
        torch.from_numpy(np.stack(masks)),
        torch.tensor(boxes, dtype=torch.float32),
    )


def square(shape: tuple[int, int], fit: str, box: Box | None = None) -> Box:
    """Return the part x0, y0, x1, y1 of a picture of `shape` (width, height) that becomes the
    square.

    fit  "crop": the largest central square; "centre": seven eighths of its side, as in the
         evaluation of ImageNet networks; "stretch": the whole picture, with other proportions;
         "box": a square around the object's box with a margin, inside the picture, or "crop" if
         there is no box
    """
    width, height = shape
    if fit == "stretch":
        return 0, 0, width, height
    side, middle = min(shape) * (7 / 8 if fit == "centre" else 1.0), (width / 2, height / 2)
    if fit == "box" and box is not None:
        x0, y0, x1, y1 = box
        side, middle = min(side, MARGIN * max(x1 - x0, y1 - y0)), ((x0 + x1) / 2, (y0 + y1) / 2)
    left, top = (
        min(max(centre - side / 2, 0), length - side)
        for centre, length in zip(middle, shape, strict=True)
    )
    return left, top, left + side, top + side


def decoded(picture: Picture) -> Image.Image:
    """Return the picture's image, upright, in its own mode. Raises BadInput for a file that is
    damaged or no image."""
    return _opened(picture.image, raster.decoded)


def _opened(path: Path, as_: Callable[[bytes, str], Image.Image]) -> Image.Image:
    try:
        return as_(raster.content(path, str(path)), str(path))
    except BadInput as error:
        raise BadInput(f"{error} Replace the file, or take it out of the selection.") from None


def _mask(picture: Picture, shape: tuple[int, int], cut: Box, size: int) -> np.ndarray:
    if picture.mask is None:
        return np.zeros((size, size), bool)
    mask = _opened(picture.mask, raster.decoded)
    if mask.size != shape:
        raise BadInput(
            f"{picture.mask} is {mask.size} pixels large, its picture {shape}: they must be equal."
        )
    inside = Image.fromarray(_inside(mask).astype(np.uint8))
    return np.asarray(inside.resize((size, size), Image.Resampling.NEAREST, box=cut)) > 0


def _inside(mask: Image.Image) -> np.ndarray:
    """Return where a mask is set, (height, width) bool: numbers above 0, or opaque colours other
    than black."""
    if mask.mode in ("1", "L", "P", "I", "F") or mask.mode.startswith("I;16"):
        return np.asarray(mask) > 0
    colours = np.asarray(mask.convert("RGBA"))
    return (colours[..., :3] > 0).any(2) & (colours[..., 3] > 0)


def _box(picture: Picture, cut: Box, size: int) -> list[float]:
    if picture.box is None:
        return [float("nan")] * 4
    left, top, right, bottom = cut
    scale = (size / (right - left), size / (bottom - top)) * 2
    moved = [
        (value - start) * s
        for value, start, s in zip(picture.box, (left, top) * 2, scale, strict=True)
    ]
    x0, y0, x1, y1 = (min(max(value, 0.0), float(size)) for value in moved)
    # A box outside the crop shows nothing of the object.
    return [x0, y0, x1, y1] if x0 < x1 and y0 < y1 else [float("nan")] * 4
