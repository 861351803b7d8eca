"""Checks of the input of the metrics: maps and masks."""

from __future__ import annotations

import torch
from torch import Tensor

from naflow.errors import BadInput
from naflow.finite import not_finite


def check_maps(maps: Tensor) -> None:
    """Raise BadInput unless maps is (B, h, w), finite and nowhere negative."""
    if maps.ndim != 3:
        raise BadInput(f"maps have shape {tuple(maps.shape)}: (B, h, w) is needed.")
    images = not_finite(maps)
    if images:
        raise BadInput(f"The maps of images {images} hold NaN or infinity.")
    images = (maps < 0).flatten(1).any(1).nonzero()[:, 0].tolist()
    if images:
        raise BadInput(
            f"The maps of images {images} are negative somewhere, and the metric needs numbers "
            ">= 0: measure the positive part, maps.clamp(min=0)."
        )


def check_masks(masks: Tensor, batch: int) -> None:
    """Raise BadInput unless masks is a boolean (batch, H, W) with an object in every image."""
    if masks.ndim != 3 or len(masks) != batch or masks.dtype != torch.bool:
        raise BadInput(
            f"masks are {masks.dtype} of shape {tuple(masks.shape)}: "
            f"boolean ({batch}, H, W) is needed, True inside the object."
        )
    images = (~masks.flatten(1).any(1)).nonzero()[:, 0].tolist()
    if images:
        raise BadInput(f"The masks of images {images} show no object: leave these images out.")
