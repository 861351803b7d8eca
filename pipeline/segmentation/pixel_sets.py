"""Sets of pixels whose class is explained, as masks for naflow.scores.PixelSet."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from naflow.errors import BadInput, near_names
from naflow.explainers.segmentation import all_pixels, box, point

KINDS = ("class", "component", "box", "point", "all")


def pixel_set(
    kind: str, predicted: Tensor, index: int, part: Sequence[float] = (0, 0, 1, 1)
) -> Tensor:
    """Return a set of pixels, (H, W) bool.

    kind       "class": every pixel predicted as the class; "component": the largest connected part
               of these; "box": a part of the box around that component; "point": the pixel deepest
               inside it; "all": the whole picture
    predicted  class numbers, (H, W)
    index      the class
    part       x0, y0, x1, y1 of the part of the box, from 0 to 1

    If the class is predicted nowhere, every set except "all" is empty. Raises BadInput for another
    kind, and for an empty part.
    """
    if kind not in KINDS:
        raise BadInput(f"There is no pixel set {kind!r}.{near_names(kind, KINDS)}")
    size = predicted.shape[0], predicted.shape[1]
    if kind == "all":
        return all_pixels(size)
    pixels = predicted == index
    if kind == "class" or not pixels.any():
        return pixels
    largest = largest_part(pixels)
    if kind == "box":
        return box(size, *part_of_box(largest, part))
    return point(size, *deepest(largest)) if kind == "point" else largest


def largest_part(mask: Tensor) -> Tensor:
    """Return the largest 4-connected component of a mask (H, W) that is not empty; of several of
    the same size, the first in reading order."""
    parts, _ = ndimage.label(mask.cpu().numpy())
    sizes = np.bincount(parts.ravel())[1:]
    return torch.from_numpy(parts == sizes.argmax() + 1).to(mask.device)


def part_of_box(mask: Tensor, part: Sequence[float]) -> tuple[int, int, int, int]:
    """Return top, left, bottom, right of a part of the box around a mask, at least one pixel high
    and wide."""
    x0, y0, x1, y1 = part
    if not (0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1):
        raise BadInput(f"part={list(part)}: give x0 < x1 and y0 < y1 from 0 to 1.")
    (top, bottom), (left, right) = (_ends(mask.any(1)), _ends(mask.any(0)))
    first, last = _between(top, bottom, y0, y1)
    start, end = _between(left, right, x0, x1)
    return first, start, last, end


def deepest(mask: Tensor) -> tuple[int, int]:
    """Return row and column of the pixel that repeated erosion removes last; of several, the one
    nearest to their mean."""
    left = mask[None].float()
    while True:
        outside = F.pad(1 - left, (1, 1, 1, 1), value=1.0)  # beyond the border counts as outside
        eroded = 1 - F.max_pool2d(outside, 3, 1)
        if not eroded.any():
            break
        left = eroded
    places = left[0].nonzero()
    distance = (places - places.double().mean(0)).square().sum(1)
    row, column = places[distance.argmin()].tolist()
    return row, column


def _ends(present: Tensor) -> tuple[int, int]:
    found = torch.nonzero(present).flatten()
    return int(found[0]), int(found[-1]) + 1


def _between(low: int, high: int, start: float, end: float) -> tuple[int, int]:
    first = min(low + int(start * (high - low)), high - 1)
    return first, max(first + 1, low + round(end * (high - low)))
