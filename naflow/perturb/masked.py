"""Masked images: what a model answers to them, and masks of what a flow attends to."""

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
    """What the model answers when a part of each image is left and the rest is the baseline."""

    model: nn.Module
    images: Tensor
    baseline: Tensor
    question: Score

    def __call__(self, masks: Tensor, under: str) -> Tensor:
        """The answers (m, B) to masks (m, B, H, W); each question sees the images in their order,
        so that references and classes one an image stay with their image.

        Raises BadInput where the score cannot be computed, NotFinite where it is not finite.
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
    """The part of a model's output that belongs to some of the images."""
    return tree_map(lambda v: v[start:end] if isinstance(v, Tensor) and v.ndim else v, output)


def repeated(inputs: Any, number: int, batch: int, times: int) -> Any:
    """The model's further inputs of one image of a batch, repeated: what has a row an image is."""

    def one(value: Any) -> Any:
        if isinstance(value, Tensor) and value.ndim and len(value) == batch:
            return value[number : number + 1].expand(times, *value.shape[1:])
        return value

    return tree_map(one, inputs)


def blurred(images: Tensor, blur: Sequence[float] = (51 / 224, 50 / 224)) -> Tensor:
    """Images (B, C, H, W) under a Gaussian, mirrored at the border; blur: its side, at least three
    pixels, and its deviation, as shares of the images' shorter side."""
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
    """Masks (B, 1, H, W) in [0, 1] of what a layer attends to, the deepest by default: the map's
    positive part, resized to size = (H, W), over its largest value; all zero for a map without any.
    threshold: a share of the largest value, in (0, 1], from which on a mask is 1, and below it 0.

    With them torch.lerp(blurred(images), images, masks) are the hard samples that the paper
    fine-tunes a classifier on. Raises BadInput for an unknown layer and a threshold out of range.
    """
    if threshold is not None and not 0 < threshold <= 1:
        raise BadInput(f"threshold={threshold!r}: it is a share of the map's maximum, in (0, 1].")
    found = flow[flow.layers[-1] if layer is None else layer].relu()[:, None]
    up = F.interpolate(found, size, mode="bilinear", align_corners=False)
    masks = ratio(up, up.amax((2, 3), keepdim=True))
    return masks if threshold is None else (masks >= threshold).to(masks)


def ratio(a: Tensor, b: Tensor) -> Tensor:
    """A / b, and 0 where b is 0."""
    return torch.where(b == 0, 0.0, a / b.where(b != 0, 1.0))
