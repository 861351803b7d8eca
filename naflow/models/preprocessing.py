"""Preprocess pictures for a network: crop, resize, normalise."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from naflow import raster
from naflow.models.card import Input

if TYPE_CHECKING:
    from PIL.Image import Image


def pixels(image: Image, wanted: Input) -> np.ndarray:
    """Return the part of an RGB picture that the network sees, (size, size, 3) uint8.

    With fit `crop` it equals torchvision's Resize and CenterCrop bit for bit.
    """
    from PIL.Image import Resampling

    size, (width, height) = wanted.size, image.size
    resample = Resampling[wanted.resample.upper()]
    short = min(width, height)
    if wanted.fit == "square":
        left, top = (width - short) / 2, (height - short) / 2
        box = (left, top, left + short, top + short)
        return np.asarray(image.resize((size, size), resample, box=box))
    sides = (wanted.resize, wanted.resize)
    if wanted.fit == "crop":
        sides = (wanted.resize * width // short, wanted.resize * height // short)
    left, top = (round((side - size) / 2) for side in sides)
    resized = image.resize(sides, resample)
    return np.asarray(resized.crop((left, top, left + size, top + size)))


def normalised(
    squares: Iterable[np.ndarray], mean: Sequence[float], std: Sequence[float]
) -> Tensor:
    """Turn squares (H, W, 3) uint8 into a network's input (B, 3, H, W): (x / 255 - mean) / std."""
    images = torch.from_numpy(np.stack(list(squares))).permute(0, 3, 1, 2)
    return raster.normalised(images, mean, std).contiguous()
