"""The Grad-CAM family for segmentation, at every layer of encoder and decoder.

The score is scores.PixelSet: the sum of a class's logits over a set of pixels, a boolean mask.
scores.PixelSet(c) alone uses the pixels predicted as class c; the functions below make other sets.

The long skip connections of a U-Net leave few values through which all data flow. So the layers
here are the modules that return a feature map (naflow.reverse.modules), not cut points of a chain.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from naflow.errors import BadInput, is_one_of
from naflow.explainers.cam import CAM, GradCAM, HiResCAM
from naflow.reverse.modules import ModuleRecord
from naflow.reverse.record import Record
from naflow.run.run import Inputs, run
from naflow.scores import Score, asked


class _Segmentation(CAM):
    """A method for segmentation; its call needs a score.

    Raises BadInput without a score, and as scores.PixelSet does: for a class that is predicted
    nowhere, and for an empty set or one of the wrong size.
    """

    def recorded(
        self, images: Tensor, score: Score | None, inputs: Inputs, detail: bool | Sequence[str]
    ) -> Record:
        if score is None:
            raise BadInput(f"{self.name} needs a class and its pixels: give scores.PixelSet(c).")
        ran = run(self.model, images, inputs)
        with torch.enable_grad():
            value = asked(score)(ran.output)
        return ModuleRecord.of(ran, value, score, self.last)


class SegGradCAM(_Segmentation, GradCAM):
    """ReLU(sum_k mean_ij(g_k) x_k): Vinogradova, Dibrov and Myers, AAAI 2020."""

    name = "Seg-Grad-CAM"


class SegHiResGradCAM(_Segmentation, HiResCAM):
    """ReLU(sum_k g_k x_k): Rheude et al., MELBA 2024."""

    name = "Seg-HiRes-Grad-CAM"


class SegXResCAM(_Segmentation):
    """ReLU(sum_k up(pool(g_k)) x_k), up: nearest neighbour: Hasany, Petitjean, Meriaudeau, CVPRW
    2023.

    window  side of the pooling window in pixels of the map; 1 gives Seg-HiRes-Grad-CAM, the map's
            size (with pool="mean") Seg-Grad-CAM. A larger window is cut to the map's size
    pool    "max", the default of the authors' code, or "mean", that of their example

    Windows at the border average only the pixels inside; the authors' code pads with zeros.
    """

    name = "Seg-XRes-CAM"

    def __init__(
        self,
        model: nn.Module,
        *,
        window: int = 2,
        pool: Literal["max", "mean"] = "max",
        **options: Any,
    ) -> None:
        super().__init__(model, **options)
        if not isinstance(window, int) or window < 1:
            raise BadInput(f"window={window!r}: it is a number of pixels, 1 or more.")
        if not is_one_of(pool, ("max", "mean")):
            raise BadInput(f"pool={pool!r}: it is 'max' or 'mean'.")
        self.window, self.pool = window, pool

    def evidence(self, x: Tensor, g: Tensor) -> Tensor:
        height, width = g.shape[2:]
        window = (min(self.window, height), min(self.window, width))
        if self.pool == "max":
            pooled = F.max_pool2d(g, window, ceil_mode=True)
        else:
            pooled = F.avg_pool2d(g, window, ceil_mode=True, count_include_pad=False)
        up = pooled.repeat_interleave(window[0], 2).repeat_interleave(window[1], 3)
        return (up[:, :, :height, :width] * x).sum(1)


# --- sets of pixels ------------------------------------------------------------------------------


def all_pixels(size: tuple[int, int]) -> Tensor:
    """Return the set of all pixels, boolean (H, W)."""
    return torch.ones(size, dtype=torch.bool)


def point(size: tuple[int, int], row: int, column: int) -> Tensor:
    """Return the set of one pixel, boolean (H, W). Raises BadInput for one outside the image."""
    return box(size, row, column, row + 1, column + 1)


def box(size: tuple[int, int], top: int, left: int, bottom: int, right: int) -> Tensor:
    """Return rows top to bottom - 1 and columns left to right - 1 as boolean (H, W). Raises
    BadInput for a box that is empty or leaves the image."""
    if not (0 <= top < bottom <= size[0] and 0 <= left < right <= size[1]):
        raise BadInput(
            f"The box of rows {top} to {bottom} and columns {left} to {right} is empty or leaves "
            f"the image of {size[0]} x {size[1]} pixels."
        )
    pixels = torch.zeros(size, dtype=torch.bool)
    pixels[top:bottom, left:right] = True
    return pixels


def component(pixels: Tensor, which: Literal["largest", "smallest"] = "largest") -> Tensor:
    """Return the largest or smallest 4-connected component of every mask, in the shape of pixels,
    (H, W) or (B, H, W); an empty mask stays empty.

    Raises BadInput for another shape or another value of `which`.
    """
    if pixels.ndim not in (2, 3) or which not in ("largest", "smallest"):
        raise BadInput(
            f"component takes masks (H, W) or (B, H, W) and 'largest' or 'smallest', not "
            f"{tuple(pixels.shape)} and {which!r}."
        )
    masks = pixels.bool().view(-1, *pixels.shape[-2:])
    labels = _components(masks)
    chosen = torch.zeros_like(masks)
    for mask, label, result in zip(masks, labels, chosen, strict=True):
        if mask.any():
            values, sizes = label[mask].unique(return_counts=True)
            index = sizes.argmax() if which == "largest" else sizes.argmin()
            result |= mask & (label == values[index])
    return chosen.view_as(pixels)


def _components(masks: Tensor) -> Tensor:
    """Label the pixels of masks (B, H, W), with one number for each component. Each pixel starts
    with its own number and takes the largest of its neighbours', until nothing changes."""
    numbers = torch.arange(1, masks[0].numel() + 1, device=masks.device, dtype=torch.float64)
    label = numbers.view(1, *masks.shape[1:]) * masks
    while True:
        rows = F.max_pool2d(label[:, None], (3, 1), 1, (1, 0))[:, 0]
        columns = F.max_pool2d(label[:, None], (1, 3), 1, (0, 1))[:, 0]
        grown = torch.maximum(rows, columns) * masks
        if torch.equal(grown, label):
            return label
        label = grown
