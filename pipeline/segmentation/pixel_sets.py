"""The pixels whose class is to be explained, as masks for naflow.scores.PixelSet."""

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
    """(H, W) bool, of the class numbers `predicted` (H, W) and the class `index`.

    kind  "class": every pixel called so; "component": the largest connected part of them; "box":
          all pixels of a `part` (x0, y0, x1, y1 from 0 to 1) of the box around that component;
          "point": the pixel deepest inside it; "all": the whole picture

    Where the class is predicted nowhere, every set but "all" is empty. Raises BadInput for another
    kind, and for a part that is none.
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
    """The largest 4-connected part of a mask (H, W) that is not empty; of several as large the one
    that begins first in reading order."""
    parts, _ = ndimage.label(mask.cpu().numpy())
    sizes = np.bincount(parts.ravel())[1:]
    return torch.from_numpy(parts == sizes.argmax() + 1).to(mask.device)


def part_of_box(mask: Tensor, part: Sequence[float]) -> tuple[int, int, int, int]:
    """top, left, bottom, right of a part of the box around a mask, at least a pixel each way."""
    x0, y0, x1, y1 = part
    if not (0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1):
        raise BadInput(f"part={list(part)}: give x0 < x1 and y0 < y1 from 0 to 1.")
    (top, bottom), (left, right) = (_ends(mask.any(1)), _ends(mask.any(0)))
    first, last = _between(top, bottom, y0, y1)
    start, end = _between(left, right, x0, x1)
    return first, start, last, end


def deepest(mask: Tensor) -> tuple[int, int]:
    """Row and column of the pixel that erosion leaves longest; of several the one nearest to
    their middle."""
    left = mask[None].float()
    while True:
        outside = F.pad(1 - left, (1, 1, 1, 1), value=1.0)  # beyond the picture nothing is inside
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
