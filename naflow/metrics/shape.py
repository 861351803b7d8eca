"""The shape of maps: how concentrated a map is, and how alike two maps are. No mask is needed.

maps (B, h, w), raw and >= 0, at their own resolution. Every function returns float64 and does not
depend on a map's scale. A map of zeros counts as a uniform map. Report these numbers together with
localisation: a blurred map is stable, and a single pixel is concentrated, wherever it lies.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from naflow.metrics.checks import check_maps


def effective_area(maps: Tensor) -> Tensor:
    """Return the participation ratio (B,), (sum m)^2 / (n sum m^2) over n pixels: q for a map that
    is constant on a share q of the pixels and zero elsewhere. So 1 if uniform, 1/n if one pixel."""
    shares = distribution(maps)
    return 1 / (shares.shape[1] * shares.square().sum(1))


def entropy(maps: Tensor) -> Tensor:
    """Return the entropy (B,) of the pixels' shares, over log n: 1 if uniform, 0 if all is on one
    pixel.

    A map of size 1 x 1 has 1.
    """
    shares = distribution(maps)
    if shares.shape[1] == 1:
        return torch.ones(len(shares), dtype=shares.dtype, device=shares.device)
    return torch.special.entr(shares).sum(1) / torch.tensor(shares.shape[1]).double().log()


def gini(maps: Tensor) -> Tensor:
    """Return the Gini index (B,) of n pixels: 0 if uniform, 1 - 1/n if all is on one pixel.

    Hurley and Rickard, Comparing measures of sparsity, IEEE Trans. Information Theory 55(10), 2009.
    """
    shares = distribution(maps).sort(1).values
    n = shares.shape[1]
    rank = torch.arange(1, n + 1, device=maps.device)
    return ((2 * rank - n - 1) * shares).sum(1) / n


def correlation(first: Tensor, second: Tensor) -> Tensor:
    """Return the Pearson correlation (B,) of two maps, the larger one area-averaged to the other's
    size. 0 if a map is constant.
    """
    a, b = on_coarser_grid(first, second)
    return _correlation(a.flatten(1), b.flatten(1))


def rank_correlation(first: Tensor, second: Tensor) -> Tensor:
    """Return the Spearman correlation (B,): `correlation` of the pixels' ranks, ties at their mean
    rank."""
    a, b = on_coarser_grid(first, second)
    return _correlation(_ranks(a.flatten(1)), _ranks(b.flatten(1)))


def on_coarser_grid(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Return two maps in float64, the larger one area-averaged to the other's size. Raises BadInput
    for maps that are negative or not finite."""
    check_maps(first)
    check_maps(second)
    height, width = map(min, first.shape[1:], second.shape[1:])
    a, b = (
        adaptive_avg_pool2d(maps[:, None].double(), (height, width))[:, 0]
        for maps in (first, second)
    )
    return a, b


def distribution(maps: Tensor) -> Tensor:
    """Return the pixels' shares of the map's sum, (B, n); equal shares for a map of zeros. Raises
    BadInput as `on_coarser_grid` does."""
    check_maps(maps)
    values = maps.flatten(1).double()
    total = values.sum(1, keepdim=True)
    return torch.where(total > 0, values / total, 1 / values.shape[1])


def _correlation(a: Tensor, b: Tensor) -> Tensor:
    a, b = _centred(a), _centred(b)
    scale = a.norm(dim=1) * b.norm(dim=1)
    return torch.where(scale > 0, (a * b).sum(1) / scale, 0.0).clamp(-1, 1)


def _centred(values: Tensor) -> Tensor:
    """Divide values (B, n) by their maximum and subtract the mean; exactly zero if all are
    equal."""
    largest = values.amax(1, keepdim=True)
    scaled = torch.where(largest > 0, values / largest, 0.0)
    centred = scaled - scaled.mean(1, keepdim=True)
    constant = (values == largest).all(1, keepdim=True)
    return torch.where(constant, 0.0, centred)


def _ranks(values: Tensor) -> Tensor:
    """Return the ranks (B, n): 1 is the smallest, n the largest, ties have their mean rank."""
    ordered = values.sort(1).values
    below = torch.searchsorted(ordered, values)
    up_to = torch.searchsorted(ordered, values, right=True)
    return (below + up_to + 1).double() / 2
