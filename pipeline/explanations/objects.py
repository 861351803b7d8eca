"""The objects' masks, cropped as the model sees the pictures."""

from collections.abc import Sequence

import torch
from torch import Tensor

from naflow.metrics import inside
from pipeline.pictures.images import Folder
from pipeline.pictures.pixels import read


def objects(images: Folder, ids: Sequence[str], size: int, fit: str) -> Tensor:
    """Return each picture's mask, or else its box, as boolean (N, size, size); all False if it has
    neither. Raises BadInput for a picture that does not exist or cannot be decoded."""
    each = list(dict.fromkeys(ids))
    pixels = read([images.of_id(key) for key in each], [], size, fit, quiet=True)
    has_mask = pixels.masks.flatten(1).any(1)[:, None, None]
    masks = torch.where(has_mask, pixels.masks, inside(pixels.boxes, (size, size)))
    return masks[[each.index(key) for key in ids]]


def measurable(masks: Tensor) -> Tensor:
    """Return boolean (N,): which masks have both object and background."""
    flat = masks.flatten(1)
    return flat.any(1) & ~flat.all(1)
