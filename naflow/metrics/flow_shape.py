"""How the maps of a flow change from layer to layer, for which no mask is needed.

flow: the maps (B, h, w) of its layers, shallow to deep, raw and >= 0, each at its own resolution;
two layers are compared on the coarser one's grid. Every function returns float64. Nothing changes
when a map is multiplied by a positive number. A map that is zero everywhere counts as the uniform
map. Report these beside localisation: a blurred flow is smooth, wherever it lies.

Raises BadInput for maps that are negative or not finite, and for fewer than two layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from naflow.errors import BadInput
from naflow.metrics.shape import correlation, distribution, on_coarser_grid


def stability(flow: Sequence[Tensor]) -> Tensor:
    """(B, L - 1) correlation of each layer's maps with those of the next, of L layers."""
    return torch.stack([correlation(*pair) for pair in _neighbours(flow)], dim=1)


def variation(first: Tensor, second: Tensor) -> Tensor:
    """(B,) total variation distance of two maps as distributions over the picture: the share of
    the attention that would have to move, 0 for the same map, 1 for maps that do not overlap."""
    a, b = (distribution(maps) for maps in on_coarser_grid(first, second))
    return (a - b).abs().sum(1) / 2


def smoothness(flow: Sequence[Tensor]) -> Tensor:
    """(B,) 1 - the mean `variation` from each layer to the next: 1 is a flow that stands still."""
    steps = [variation(*pair) for pair in _neighbours(flow)]
    return 1 - torch.stack(steps, dim=1).mean(1)


def stabilisation_depth(flow: Sequence[Tensor], within: float = 0.25) -> Tensor:
    """(B,) the depth, in (0, 1], from which on every map is the last one within a `variation`:
    l / L for the first such layer l of L, 1 where only the last layer is like itself.

    Raises BadInput for a variation outside [0, 1], too.
    """
    if not 0 <= within <= 1:
        raise BadInput(f"within={within!r}: a variation lies between 0 and 1.")
    _neighbours(flow)
    near = torch.stack([variation(maps, flow[-1]) <= within for maps in flow], dim=1)
    settled = near.flip(1).long().cumprod(1).sum(1)  # the layers at the end that are all near
    return (len(flow) - settled + 1).double() / len(flow)


def centroid_drift(flow: Sequence[Tensor]) -> Tensor:
    """(B, L - 1) how far the centre of mass moves from each layer to the next, as a share of the
    picture's diagonal. The picture has the proportions of the flow's first map."""
    sides = torch.tensor(flow[0].shape[1:], dtype=torch.float64, device=flow[0].device)
    steps = [_centroid(second) - _centroid(first) for first, second in _neighbours(flow)]
    return torch.stack([(step * sides).norm(dim=1) / sides.norm() for step in steps], dim=1)


def _centroid(maps: Tensor) -> Tensor:
    """(B, 2) row and column of the centre of mass, as shares of the sides."""
    share = distribution(maps).view(maps.shape)
    rows, columns = (
        (torch.arange(n, device=maps.device, dtype=torch.float64) + 0.5) / n for n in maps.shape[1:]
    )
    return torch.stack([share.sum(2) @ rows, share.sum(1) @ columns], dim=1)


def _neighbours(flow: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
    if len(flow) < 2:
        raise BadInput(f"The flow has {len(flow)} layers: at least two are needed to see a change.")
    return list(pairwise(flow))
