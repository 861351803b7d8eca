"""The order in which pixels or neurons are changed: the strongest first, ties drawn from a seed."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from naflow.errors import BadInput
from naflow.metrics.checks import check_maps


def ranks(values: Tensor, seed: int) -> Tensor:
    """(B, n) values -> (B, n) the place of each in its row: 0 is the largest, n - 1 the smallest.

    Equal values follow each other at random, in an order of their places that the seed draws once
    for all rows: so a row's ranks do not depend on the other rows.
    """
    n = values.shape[1]
    shuffle = torch.randperm(n, generator=torch.Generator().manual_seed(seed)).to(values.device)
    order = shuffle[values[:, shuffle].argsort(dim=1, descending=True, stable=True)]
    places = torch.arange(n, device=values.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, places)


def pixel_ranks(maps: Tensor, images: Tensor, seed: int) -> Tensor:
    """(B, H, W) the place of every pixel of the images in the order of the upsampled maps."""
    resized = upsampled(maps, images)
    return ranks(resized.flatten(1), seed).view_as(resized)


def upsampled(maps: Tensor, images: Tensor) -> Tensor:
    """Maps (B, h, w), raw and >= 0, resized bilinearly to images (B, C, H, W): (B, H, W), float32.

    Raises BadInput for maps that are negative or not finite, or are not one an image.
    """
    check_maps(maps)
    if images.ndim != 4 or len(images) != len(maps):
        raise BadInput(
            f"{len(maps)} maps for images of shape {tuple(images.shape)}: "
            f"({len(maps)}, C, H, W) is needed, a map an image."
        )
    # Resized in float64 and rounded once: what is equal in the map stays equal, so it stays a tie.
    resized = interpolate(
        maps[:, None].double(),
        images.shape[2:],
        mode="bilinear",
        align_corners=False,
        antialias=True,
    )
    return resized[:, 0].float()
