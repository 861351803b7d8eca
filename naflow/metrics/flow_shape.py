"""How the maps of a flow change from layer to layer. No mask is needed.

flow: the maps (B, h, w) of its layers, shallow to deep, raw and >= 0, each at its own resolution.
Two layers are compared at the coarser resolution. Every function returns float64 and does not
depend on a map's scale. A map of zeros counts as a uniform map. Report these numbers together with
localisation: a blurred flow is smooth, wherever it lies.

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
    """Return the correlation (B, L - 1) of each of L layers' maps with those of the next."""
    return torch.stack([correlation(*pair) for pair in _neighbours(flow)], dim=1)


def variation(first: Tensor, second: Tensor) -> Tensor:
    """Return the total variation distance (B,) of two maps as distributions over the picture: the
    share of the attention that would have to move. 0: equal maps, 1: maps that do not overlap."""
    a, b = (distribution(maps) for maps in on_coarser_grid(first, second))
    return (a - b).abs().sum(1) / 2


def smoothness(flow: Sequence[Tensor]) -> Tensor:
    """Return (B,) 1 - the mean `variation` from each layer to the next: 1 if no map changes."""
    steps = [variation(*pair) for pair in _neighbours(flow)]
    return 1 - torch.stack(steps, dim=1).mean(1)


def stabilisation_depth(flow: Sequence[Tensor], within: float = 0.25) -> Tensor:
    """Return the depth (B,), in (0, 1], from which on every map is like the last one: l / L for the
    first layer l of L from which on the `variation` to the last map is at most `within`.

    Raises BadInput for `within` outside [0, 1], too.
    """
    if not 0 <= within <= 1:
        raise BadInput(f"within={within!r}: a variation lies between 0 and 1.")
    _neighbours(flow)
    near = torch.stack([variation(maps, flow[-1]) <= within for maps in flow], dim=1)
    settled = near.flip(1).long().cumprod(1).sum(1)  # number of layers at the end, all near
    return (len(flow) - settled + 1).double() / len(flow)


def centroid_drift(flow: Sequence[Tensor]) -> Tensor:
    """Return how far the centre of mass moves from each layer to the next, (B, L - 1), as a share
    of the picture's diagonal. The picture is taken to have the proportions of the first map."""
    sides = torch.tensor(flow[0].shape[1:], dtype=torch.float64, device=flow[0].device)
    steps = [_centroid(second) - _centroid(first) for first, second in _neighbours(flow)]
    return torch.stack([(step * sides).norm(dim=1) / sides.norm() for step in steps], dim=1)


def _centroid(maps: Tensor) -> Tensor:
    """Return row and column of the centre of mass, (B, 2), as shares of the sides."""
    share = distribution(maps).view(maps.shape)
    rows, columns = (
        (torch.arange(n, device=maps.device, dtype=torch.float64) + 0.5) / n for n in maps.shape[1:]
    )
    return torch.stack([share.sum(2) @ rows, share.sum(1) @ columns], dim=1)


def _neighbours(flow: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
    if len(flow) < 2:
        raise BadInput(f"The flow has {len(flow)} layers: at least two are needed to see a change.")
    return list(pairwise(flow))
