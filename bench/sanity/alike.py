"""How much two maps are alike."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from naflow import metrics
from pipeline.measuring.sanity import CELLS


def alike(own: Tensor, other: Tensor) -> Tensor:
    """Return the rank correlation (B,) of the positive parts of maps (B, h, w), averaged to at most
    28 cells a side: finer ones differ by texture. NaN where `own` is zero everywhere, 0 where
    `other` is: that there is nothing has nothing in common with a map."""
    a, b = (maps.detach().clamp(min=0) for maps in (own, other))
    rank = metrics.rank_correlation(_pooled(a), _pooled(b))
    return rank.masked_fill(metrics.empty(b), 0.0).masked_fill(metrics.empty(a), torch.nan)


def share(maps: Tensor, masks: Tensor) -> Tensor:
    """Return the share (B,) of the maps' positive part that lies on the objects; NaN for a map that
    is zero everywhere. masks (B, H, W) bool."""
    positive = maps.detach().clamp(min=0)
    found = metrics.energy_share(positive, masks)
    return found.masked_fill(metrics.empty(positive), torch.nan)


def _pooled(maps: Tensor) -> Tensor:
    height, width = (min(CELLS, side) for side in maps.shape[1:])
    return adaptive_avg_pool2d(maps[:, None].double(), (height, width))[:, 0]
