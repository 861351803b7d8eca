"""The object of a picture, by its mask, or by its box if there is no mask."""

import numpy as np
import torch

from naflow.metrics import inside
from pipeline.material.view import View


def extent(view: View) -> np.ndarray:
    """Return the object as boolean (H, W): the mask, or else the whole box; all False if neither is
    known."""
    if view.mask.any() or not np.isfinite(view.box).all():
        return view.mask
    height, width = view.mask.shape
    return inside(torch.from_numpy(view.box)[None], (height, width))[0].numpy()


def by_box(view: View) -> bool:
    """Whether only the box of the object is known."""
    return not view.mask.any() and bool(extent(view).any())
