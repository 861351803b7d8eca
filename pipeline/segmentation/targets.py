"""Segmentation targets: the class number of every pixel, from masks and labels."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from naflow.errors import BadInput
from pipeline.pictures.images import Folder, Part, Picture
from pipeline.pictures.pixels import Pixels, decoded, read, square

VOID = 255  # the number of a pixel whose class is unknown


class Targets(Protocol):
    """Turns masks and labels into class numbers."""

    def names(self, labels: Sequence[str]) -> list[str]:
        """Return the names of the classes 0, 1, ... for a folder whose pictures have these
        labels."""
        ...

    def __call__(self, pictures: Sequence[Picture], pixels: Pixels, fit: str) -> Tensor:
        """Return the class numbers of pictures, (N, H, W) uint8, cropped like their `pixels`."""
        ...


class Objects:
    """Masks of one object each: the picture's class is inside the mask, and 0, background,
    outside."""

    def names(self, labels: Sequence[str]) -> list[str]:
        return ["background", *labels]

    def __call__(self, pictures: Sequence[Picture], pixels: Pixels, fit: str) -> Tensor:
        return (pixels.masks * (pixels.labels + 1)[:, None, None]).to(torch.uint8)


@dataclass(frozen=True)
class Numbered:
    """Masks whose grey values are class numbers; numbers without a name become VOID."""

    classes: Sequence[str]

    def names(self, labels: Sequence[str]) -> list[str]:
        return list(self.classes)

    def __call__(self, pictures: Sequence[Picture], pixels: Pixels, fit: str) -> Tensor:
        side = pixels.images.shape[-1]
        found = torch.from_numpy(np.stack([_numbers(one, fit, side) for one in pictures]))
        return found.masked_fill(found >= len(self.classes), VOID)


@dataclass(frozen=True)
class Labelled:
    """N pictures with the class of every pixel.

    classes  names of the classes, by number
    targets  (N, H, W) uint8 class numbers, VOID if unknown
    """

    classes: list[str]
    pixels: Pixels
    targets: Tensor

    def together(self) -> Pixels:
        """Return the pictures with their targets as a fourth channel, so that augmentation moves
        both alike."""
        images = torch.cat([self.pixels.images, self.targets[:, None]], dim=1)
        return replace(self.pixels, images=images)


def labelled(
    images: Folder, part: Part, targets: Targets, size: int, fit: str, quiet: bool | None = None
) -> Labelled:
    """Read a part of a folder. Raises BadInput for a picture without a mask."""
    labels, pictures = images.part(part)
    without = [picture.id for picture in pictures if picture.mask is None]
    if without:
        raise BadInput(
            f"{images.root}: {len(without)} pictures have no mask, {without[0]} among them. Name "
            "the index's column of masks in segment.images.columns.mask, or leave them out with "
            "segment.images.select."
        )
    pixels = read(pictures, labels, size, fit, quiet)
    return Labelled(targets.names(labels), pixels, targets(pictures, pixels, fit))


def _numbers(picture: Picture, fit: str, side: int) -> np.ndarray:
    """Return the mask's grey values (side, side), cropped like the picture."""
    shape = decoded(picture).size
    mask = decoded(replace(picture, image=picture.mask))
    if mask.size != shape or mask.mode not in ("L", "P"):
        raise BadInput(
            f"{picture.mask} is {mask.size} pixels of mode {mask.mode}, its picture {shape}: a "
            "mask of class numbers has one byte a pixel (mode L or P) and its picture's size."
        )
    cut = square(shape, fit, picture.box)
    values = Image.fromarray(np.asarray(mask)).resize((side, side), Image.Resampling.NEAREST, cut)
    return np.asarray(values)
