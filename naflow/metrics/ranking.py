"""Rank pixels or neurons: largest value first, ties at random by a seed."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from naflow.errors import BadInput
from naflow.metrics.checks import check_maps


def ranks(values: Tensor, seed: int) -> Tensor:
    """Return the rank of each value in its row, (B, n) -> (B, n): 0 is the largest, n - 1 the
    smallest.

    Equal values are ordered by a permutation that the seed draws once for all rows, so a row's
    ranks do not depend on the other rows.
    """
    n = values.shape[1]
    shuffle = torch.randperm(n, generator=torch.Generator().manual_seed(seed)).to(values.device)
    order = shuffle[values[:, shuffle].argsort(dim=1, descending=True, stable=True)]
    places = torch.arange(n, device=values.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, places)


def pixel_ranks(maps: Tensor, images: Tensor, seed: int) -> Tensor:
    """Return the rank (B, H, W) of every pixel of the images by the upsampled maps."""
    resized = upsampled(maps, images)
    return ranks(resized.flatten(1), seed).view_as(resized)


def upsampled(maps: Tensor, images: Tensor) -> Tensor:
    """Resize maps (B, h, w), raw and >= 0, bilinearly to images (B, C, H, W): (B, H, W), float32.

    Raises BadInput for maps that are negative or not finite, or that are not one per image.
    """
    check_maps(maps)
    if images.ndim != 4 or len(images) != len(maps):
        raise BadInput(
            f"{len(maps)} maps for images of shape {tuple(images.shape)}: "
            f"({len(maps)}, C, H, W) is needed, one map for each image."
        )
    # Resized in float64 and rounded once: equal values stay equal, so ties stay ties.
    resized = interpolate(
        maps[:, None].double(),
        images.shape[2:],
        mode="bilinear",
        align_corners=False,
        antialias=True,
    )
    return resized[:, 0].float()
