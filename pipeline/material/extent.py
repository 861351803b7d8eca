"""What of a picture is its object: by mask, or where none is published, by box."""

import numpy as np
import torch

from naflow.metrics import inside
from pipeline.material.view import View


def extent(view: View) -> np.ndarray:
    """Boolean (H, W): the mask, or else all of the box; all False where nothing tells."""
    if view.mask.any() or not np.isfinite(view.box).all():
        return view.mask
    height, width = view.mask.shape
    return inside(torch.from_numpy(view.box)[None], (height, width))[0].numpy()


def by_box(view: View) -> bool:
    """Whether the box alone tells where the object is."""
    return not view.mask.any() and bool(extent(view).any())
