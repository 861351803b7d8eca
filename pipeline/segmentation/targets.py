"""What every pixel shows, from masks and labels: a picture of class numbers for each picture."""

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

VOID = 255  # the number of a pixel of which nobody says what it shows


class Targets(Protocol):
    """How masks and labels become class numbers."""

    def names(self, labels: Sequence[str]) -> list[str]:
        """What the numbers 0, 1, ... mean, in a folder whose pictures have these labels."""
        ...

    def __call__(self, pictures: Sequence[Picture], pixels: Pixels, fit: str) -> Tensor:
        """(N, H, W) uint8 class numbers of pictures, under the cut that made their `pixels`."""
        ...


class Objects:
    """A mask covers one object: 0 is background, and the picture's class is inside the mask."""

    def names(self, labels: Sequence[str]) -> list[str]:
        return ["background", *labels]

    def __call__(self, pictures: Sequence[Picture], pixels: Pixels, fit: str) -> Tensor:
        return (pixels.masks * (pixels.labels + 1)[:, None, None]).to(torch.uint8)


@dataclass(frozen=True)
class Numbered:
    """A mask's grey values are class numbers; those without a name are VOID."""

    classes: Sequence[str]

    def names(self, labels: Sequence[str]) -> list[str]:
        return list(self.classes)

    def __call__(self, pictures: Sequence[Picture], pixels: Pixels, fit: str) -> Tensor:
        side = pixels.images.shape[-1]
        found = torch.from_numpy(np.stack([_numbers(one, fit, side) for one in pictures]))
        return found.masked_fill(found >= len(self.classes), VOID)


@dataclass(frozen=True)
class Labelled:
    """N pictures, and what every pixel of them shows.

    classes  the names of the numbers
    targets  (N, H, W) uint8, VOID where nothing is known
    """

    classes: list[str]
    pixels: Pixels
    targets: Tensor

    def together(self) -> Pixels:
        """The pictures with their targets as a fourth channel, so that a view moves both."""
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
    """The mask's grey values (side, side) under the picture's cut."""
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
