"""ROAD: deletion without edges, as removed pixels are imputed from their neighbours.

Rong, Leemann, Borisov, Kasneci, Kasneci, A consistent and efficient evaluation strategy for
attribution methods, ICML 2022: `imputed`, plus noise.

maps and answer: as in naflow.metrics.perturbation. A map of zeros gives NaN.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor

from naflow.errors import BadInput
from naflow.metrics.answers import Answer, ask
from naflow.metrics.imputation import imputed
from naflow.metrics.localisation import empty
from naflow.metrics.ranking import pixel_ranks

SHARES = tuple(k / 10 for k in range(1, 10))  # the authors' nine shares of the pixels


def road(
    answer: Answer,
    images: Tensor,
    maps: Tensor,
    *,
    first: Literal["most", "least"] = "most",
    shares: Sequence[float] = SHARES,
    noise: float = 0.01,
    batch: int = 64,
    seed: int = 0,
) -> Tensor:
    """Return the scores (B, shares), float64, after imputing these shares of the pixels, the most
    important first, or the least.

    shares  in (0, 1), ascending
    noise   standard deviation, in the images' units; every image gets the same pattern
    batch   images per forward pass, at least B
    seed    of the noise and of the order of ties

    Raises BadInput for maps that are negative or not finite or do not fit the images, and for
    settings out of range.
    """
    if first not in ("most", "least"):
        raise BadInput(f"first={first!r}: 'most' or 'least' important pixels are removed first.")
    ends = (0, *shares, 1)
    if any(a >= b for a, b in pairwise(ends)):
        raise BadInput(f"shares={shares}: ascending shares of the pixels in (0, 1) are needed.")
    rank = pixel_ranks(maps, images, seed)
    rank = rank if first == "most" else rank[0].numel() - 1 - rank
    changes = _changes(images, rank, shares, noise, seed)
    return ask(answer, changes, len(maps), batch).masked_fill(empty(maps)[:, None], torch.nan)


def road_combined(answer: Answer, images: Tensor, maps: Tensor, **settings: Any) -> Tensor:
    """Return half the mean difference (B,) between the scores with the least and with the most
    important pixels removed: more is better, 0 is chance. settings: as of `road`, except
    `first`."""
    least, most = (
        road(answer, images, maps, first=first, **settings) for first in ("least", "most")
    )
    return (least - most).mean(1) / 2


def _changes(
    images: Tensor, rank: Tensor, shares: Sequence[float], noise: float, seed: int
) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(seed + 1)  # seed itself draws the order of ties
    pattern = noise * torch.randn(images.shape[1:], generator=generator).to(images)
    x = images
    for share in shares:
        missing = rank < round(share * rank[0].numel())
        x = imputed(images, missing, start=x)  # the last solution is close to this one
        yield x + pattern * missing[:, None]
