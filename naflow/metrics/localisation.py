"""Localisation: how much of an attention map lies on the object.

maps (B, h, w), raw and >= 0; masks (B, H, W), True inside the object. Every function returns (B,),
float64. A map and its mask often differ in size; grid says which of the two is resized:

    "picture"  the map: resized bilinearly to (H, W), as Flow.stack does; what a reader sees
    "layer"    the mask: averaged over the area of each of the map's pixels, a share in [0, 1]. A
               coarse map is then not spread by resizing. If (h, w) does not divide (H, W),
               neighbouring areas overlap by a pixel

A map of zeros scores as the uniform map does, which is chance: energy ratio and interference are 1,
the background share is that of the background, and all others are the object's area. `empty` finds
such maps: count them, and leave them out of a mean.

Raises BadInput for maps that are negative or not finite, masks without an object, another grid.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, conv2d, interpolate

from naflow.errors import BadInput, near_names
from naflow.metrics.checks import check_maps, check_masks

Grid = Literal["picture", "layer"]


def empty(maps: Tensor) -> Tensor:
    """Return boolean (B,): whether each map is zero everywhere."""
    check_maps(maps)
    return (maps == 0).flatten(1).all(1)


def area(masks: Tensor) -> Tensor:
    """The object's share of the picture, which is the energy share of a uniform map."""
    check_masks(masks, len(masks))
    return masks.double().mean((1, 2))


def energy_share(maps: Tensor, masks: Tensor, grid: Grid = "picture") -> Tensor:
    """Share of the map's sum that lies inside the object.

    The energy-based pointing game of Wang et al., Score-CAM, CVPR Workshops 2020; also called
    relevance mass accuracy, Arras et al., Information Fusion 81, 2022.
    """
    return _energy_share(*_on_one_grid(maps, masks, grid))


def energy_ratio(maps: Tensor, masks: Tensor, grid: Grid = "picture") -> Tensor:
    """Energy share over the object's area: 1 is chance, whatever the object's size."""
    maps, cover = _on_one_grid(maps, masks, grid)
    return _energy_share(maps, cover) / cover.mean((1, 2))


def background_share(maps: Tensor, masks: Tensor, grid: Grid = "picture") -> Tensor:
    """Share of the map's sum that lies outside the object."""
    return 1 - energy_share(maps, masks, grid)


def interference(maps: Tensor, masks: Tensor, grid: Grid = "picture") -> Tensor:
    """Background share over the background's area: 0 if the map lies on the object only, 1 is
    chance.

    Raises BadInput, too, if an object fills the picture: there is no background.
    """
    maps, cover = _on_one_grid(maps, masks, grid)
    full = masks.flatten(1).all(1).nonzero()[:, 0].tolist()
    if full:
        raise BadInput(f"The objects of images {full} fill the picture: leave these images out.")
    return (1 - _energy_share(maps, cover)) / (1 - cover.mean((1, 2)))


def pointing_game(
    maps: Tensor, masks: Tensor, tolerance: int = 0, grid: Grid = "picture"
) -> Tensor:
    """1 if the map's maximum lies on the object or at most `tolerance` pixels of the mask away from
    it, else 0; the mean over all pixels that share the maximum.

    Zhang et al., Top-down neural attention by excitation backprop, ECCV 2016; their tolerance is 15
    pixels for a picture 224 wide.
    """
    maps, cover = _on_one_grid(maps, masks, grid, tolerance)
    top = maps == maps.amax((1, 2), keepdim=True)
    return (top * cover).sum((1, 2)) / top.sum((1, 2))


def rank_accuracy(maps: Tensor, masks: Tensor, grid: Grid = "picture") -> Tensor:
    """Share of the n highest pixels that lie on the object, n the number of its pixels.

    Pixels that tie for the last places share them. Called relevance rank accuracy by Arras et al.,
    Information Fusion 81, 2022.
    """
    values, cover = (x.flatten(1) for x in _on_one_grid(maps, masks, grid))
    size = cover.sum(1, keepdim=True)
    places = size.ceil().long().clamp(max=values.shape[1])  # the last may be a part of a pixel
    last = values.sort(1, descending=True).values.gather(1, places - 1)
    above, tied = values > last, values == last
    share = (size - above.sum(1, keepdim=True)) / tied.sum(1, keepdim=True)
    return ((above + share * tied) * cover).sum(1) / size[:, 0]


def iou(maps: Tensor, masks: Tensor, grid: Grid = "picture") -> Tensor:
    """Intersection over union of the object and the map's pixels at or above a threshold: the map's
    mean + standard deviation, or its maximum if that is lower.

    The threshold is that of the code of Relevance-CAM, Lee et al., CVPR 2021.
    """
    values, cover = (x.flatten(1) for x in _on_one_grid(maps, masks, grid))
    threshold = values.mean(1) + values.std(1, correction=0)
    chosen = values >= threshold.minimum(values.amax(1))[:, None]
    both = (chosen * cover).sum(1)
    return both / (chosen.sum(1) + cover.sum(1) - both)


def best_iou(maps: Tensor, masks: Tensor, grid: Grid = "picture") -> Tensor:
    """The largest intersection over union of the object and the map's pixels at or above a
    threshold, over all thresholds. It depends only on the order of the pixels."""
    values, cover = (x.flatten(1) for x in _on_one_grid(maps, masks, grid))
    values, order = values.sort(1, descending=True)
    both = cover.gather(1, order).cumsum(1)
    chosen = torch.arange(1, values.shape[1] + 1, device=values.device)
    ious = both / (chosen + cover.sum(1, keepdim=True) - both)
    tied = values[:, :-1] == values[:, 1:]  # no threshold separates equal pixels
    ious[:, :-1].masked_fill_(tied, 0)
    return ious.amax(1)


def inside(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Return masks (B, *size) of boxes (B, 4), given as x0, y0, x1, y1 in pixels: the pixels whose
    centre lies in the box. A box of NaN gives an empty mask."""
    y, x = (torch.arange(n, device=boxes.device) + 0.5 for n in size)
    x0, y0, x1, y1 = boxes[:, :, None].unbind(1)
    columns, rows = (x >= x0) & (x < x1), (y >= y0) & (y < y1)
    return rows[:, :, None] & columns[:, None, :]


def _energy_share(maps: Tensor, cover: Tensor) -> Tensor:
    return (maps * cover).sum((1, 2)) / maps.sum((1, 2))


def _on_one_grid(
    maps: Tensor, masks: Tensor, grid: Grid, tolerance: int = 0
) -> tuple[Tensor, Tensor]:
    """Return maps and cover at the same size, float64. Constant maps become ones. cover: the share
    of each pixel that the object, grown by `tolerance` pixels, covers."""
    if grid not in get_args(Grid):
        raise BadInput(f"There is no grid {grid!r}.{near_names(str(grid), get_args(Grid))}")
    check_maps(maps)
    check_masks(masks, len(maps))
    flat = (maps == maps[:, :1, :1]).all(2).all(1)
    maps, cover = maps.double(), _grown(masks, tolerance).double()
    if grid == "layer":
        cover = adaptive_avg_pool2d(cover[:, None], (maps.shape[1], maps.shape[2]))[:, 0]
    else:
        # antialias matters only for a map larger than its mask: no pixel of it is skipped
        maps = interpolate(
            maps[:, None], masks.shape[1:], mode="bilinear", align_corners=False, antialias=True
        )[:, 0]
    return torch.where(flat[:, None, None], 1.0, maps), cover


def _grown(masks: Tensor, radius: int) -> Tensor:
    """Return the masks of the pixels at most `radius` away from a mask."""
    if radius < 0:
        raise BadInput(f"tolerance={radius}: it must be a number of pixels >= 0.")
    if radius == 0:
        return masks
    offset = torch.arange(-radius, radius + 1, device=masks.device)
    disc = (offset[:, None] ** 2 + offset**2 <= radius**2).float()
    return conv2d(masks[:, None].float(), disc[None, None], padding=radius)[:, 0] > 0.5
