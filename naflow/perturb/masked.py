"""Masked images: their scores, and masks from the maps of a flow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._pytree import tree_map

from naflow.errors import BadInput, NotFinite
from naflow.flow import Flow
from naflow.scores import Score


@dataclass(frozen=True)
class Trial:
    """Scores masked images: inside the mask the image, outside the baseline.

    images, baseline  (B, C, H, W)
    question          the score
    """

    model: nn.Module
    images: Tensor
    baseline: Tensor
    question: Score

    def __call__(self, masks: Tensor, under: str) -> Tensor:
        """Return the scores (m, B) of masks (m, B, H, W) in [0, 1]. The score is called with B
        images at a time, in their order, as it may hold a class or reference for each.

        under: what the masks are, for error messages. Raises BadInput if the score cannot be
        computed, NotFinite if it is not finite.
        """
        shown = torch.lerp(self.baseline, self.images, masks[:, :, None])
        output, size = self.model(shown.flatten(0, 1)), len(self.images)
        parts = [rows(output, at, at + size) for at in range(0, len(masks) * size, size)]
        try:
            answers = torch.stack([self.question(part) for part in parts])
        except BadInput as error:
            raise BadInput(f"The images under {under} cannot be scored: {error}") from error
        wrong = (~answers.isfinite()).any(0).nonzero()[:, 0].tolist()
        if wrong:
            raise NotFinite(f"The score of images {wrong} under {under} is NaN or infinite.")
        return answers


def rows(output: object, start: int, end: int) -> Any:
    """Return the part of a model's output that belongs to the images start to end - 1."""
    return tree_map(lambda v: v[start:end] if isinstance(v, Tensor) and v.ndim else v, output)


def repeated(inputs: Any, number: int, batch: int, times: int) -> Any:
    """Return the model's further inputs for `times` copies of image `number`: tensors with one row
    per image of the batch are reduced to its row and repeated, others stay."""

    def one(value: Any) -> Any:
        if isinstance(value, Tensor) and value.ndim and len(value) == batch:
            return value[number : number + 1].expand(times, *value.shape[1:])
        return value

    return tree_map(one, inputs)


def blurred(images: Tensor, blur: Sequence[float] = (51 / 224, 50 / 224)) -> Tensor:
    """Blur images (B, C, H, W) with a Gaussian, mirrored at the border. blur: side (at least three
    pixels) and standard deviation of the kernel, as shares of the images' shorter side."""
    side, channels = min(images.shape[2:]), images.shape[1]
    half = min(side - 1, max(1, round((blur[0] * side - 1) / 2)))
    steps = torch.arange(-half, half + 1, dtype=images.dtype, device=images.device)
    line = torch.exp(-0.5 * (steps / (blur[1] * side)).square())
    line = (line / line.sum()).expand(channels, 1, 1, -1)
    padded = F.pad(images, (half,) * 4, mode="reflect")
    return F.conv2d(F.conv2d(padded, line, groups=channels), line.mT, groups=channels)


def image_masks(
    flow: Flow, size: tuple[int, int], *, layer: str | None = None, threshold: float | None = None
) -> Tensor:
    """Return masks (B, 1, H, W) in [0, 1] of where a layer attends: the map's positive part,
    resized to size = (H, W) and divided by its maximum; zeros if the map has no positive part.

    layer      by default the deepest
    threshold  None, or a share of the maximum in (0, 1]: masks are then 1 at or above it, else 0

    torch.lerp(blurred(images), images, masks) gives the hard samples on which the paper fine-tunes
    a classifier. Raises BadInput for an unknown layer and a threshold out of range.
    """
    if threshold is not None and not 0 < threshold <= 1:
        raise BadInput(f"threshold={threshold!r}: it is a share of the map's maximum, in (0, 1].")
    maps = flow[flow.layers[-1] if layer is None else layer].relu()[:, None]
    up = F.interpolate(maps, size, mode="bilinear", align_corners=False)
    masks = ratio(up, up.amax((2, 3), keepdim=True))
    return masks if threshold is None else (masks >= threshold).to(masks)


def ratio(a: Tensor, b: Tensor) -> Tensor:
    """Return a / b, 0 where b is 0."""
    return torch.where(b == 0, 0.0, a / b.where(b != 0, 1.0))
