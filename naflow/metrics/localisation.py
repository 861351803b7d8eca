"""How much of an attention map lies on the object.

maps (B, h, w), raw and >= 0; masks (B, H, W), True inside the object. Maps are resized bilinearly
to the masks' size, as Flow.stack does. Every function returns (B,), float64.

A map that is zero everywhere points nowhere. It scores as the uniform map does, which is chance:
share = the object's area, ratio = 1, interference = 1, pointing = area. `empty` tells which maps
these are: count them, and leave them out of a mean.

Raises BadInput for maps that are negative or not finite, and for masks without an object.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import conv2d, interpolate

from naflow.errors import BadInput
from naflow.metrics.checks import check_maps, check_masks


def empty(maps: Tensor) -> Tensor:
    """Boolean (B,): whether a map is zero everywhere."""
    check_maps(maps)
    return (maps == 0).flatten(1).all(1)


def area(masks: Tensor) -> Tensor:
    """The object's share of the picture: the energy share of a uniform map."""
    check_masks(masks, len(masks))
    return masks.double().mean((1, 2))


def energy_share(maps: Tensor, masks: Tensor) -> Tensor:
    """Share of the map's sum that lies inside the object.

    The energy-based pointing game of Wang et al., Score-CAM, CVPR Workshops 2020; also called
    relevance mass accuracy, Arras et al., Information Fusion 81, 2022.
    """
    maps = _on_masks(maps, masks)
    return (maps * masks).sum((1, 2)) / maps.sum((1, 2))


def energy_ratio(maps: Tensor, masks: Tensor) -> Tensor:
    """Energy share over the object's area: 1 is chance, whatever the object's size."""
    return energy_share(maps, masks) / area(masks)


def background_share(maps: Tensor, masks: Tensor) -> Tensor:
    """Share of the map's sum that lies outside the object."""
    return 1 - energy_share(maps, masks)


def interference(maps: Tensor, masks: Tensor) -> Tensor:
    """Background share over the background's area: 0 is a map on the object alone, 1 is chance.

    Raises BadInput, too, where an object fills the picture: there is no background.
    """
    background = 1 - area(masks)
    full = (background == 0).nonzero()[:, 0].tolist()
    if full:
        raise BadInput(f"The objects of images {full} fill the picture: leave these images out.")
    return background_share(maps, masks) / background


def pointing_game(maps: Tensor, masks: Tensor, tolerance: int = 0) -> Tensor:
    """1 where the map's maximum lies on the object, at most `tolerance` pixels beside it, else 0;
    the mean where several pixels share the maximum.

    Zhang et al., Top-down neural attention by excitation backprop, ECCV 2016, whose tolerance is
    15 pixels of a picture 224 wide.
    """
    maps = _on_masks(maps, masks)
    top = maps == maps.amax((1, 2), keepdim=True)
    near = _grown(masks, tolerance)
    return (top & near).sum((1, 2)).double() / top.sum((1, 2))


def inside(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Boxes (B, 4) as x0, y0, x1, y1 in pixels -> masks (B, *size): the pixels whose centre lies in
    the box. A box of NaN gives no pixel."""
    y, x = (torch.arange(n, device=boxes.device) + 0.5 for n in size)
    x0, y0, x1, y1 = boxes[:, :, None].unbind(1)
    columns, rows = (x >= x0) & (x < x1), (y >= y0) & (y < y1)
    return rows[:, :, None] & columns[:, None, :]


def _on_masks(maps: Tensor, masks: Tensor) -> Tensor:
    """The maps at the masks' size, float64; ones where a map is empty."""
    nothing = empty(maps)
    check_masks(masks, len(maps))
    # antialias matters only to a map larger than its mask: none of it falls between the samples.
    resized = interpolate(
        maps[:, None].double(),
        masks.shape[1:],
        mode="bilinear",
        align_corners=False,
        antialias=True,
    )[:, 0]
    return torch.where(nothing[:, None, None], 1.0, resized)


def _grown(masks: Tensor, radius: int) -> Tensor:
    """The pixels at most `radius` from a mask."""
    if radius < 0:
        raise BadInput(f"tolerance={radius}: it must be a number of pixels >= 0.")
    offset = torch.arange(-radius, radius + 1, device=masks.device)
    disc = (offset[:, None] ** 2 + offset**2 <= radius**2).float()
    return conv2d(masks[:, None].float(), disc[None, None], padding=radius)[:, 0] > 0.5
