"""Deletion and insertion: does the score depend on the pixels that a map highlights?

maps (B, h, w), raw and >= 0, one for every image (B, C, H, W). The image's pixels are ranked by the
bilinearly upsampled map, ties at random by a seed, and changed in equal shares. answer: any
callable from images to one score each, such as `Answers(model, ClassProbability(c), B)`.

A map of zeros ranks nothing: its row is NaN, which `bootstrap` leaves out and `empty` counts. Any
other constant map has a random order, which is chance.

Petsiuk, Das, Saenko, RISE, BMVC 2018. Raises BadInput for maps that are negative or not finite or
do not fit the images, and for settings out of range.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from naflow.errors import BadInput
from naflow.metrics.answers import Answer, ask
from naflow.metrics.localisation import empty
from naflow.metrics.ranking import pixel_ranks
from naflow.perturb.masked import blurred


def deletion(
    answer: Answer,
    images: Tensor,
    maps: Tensor,
    *,
    baseline: Tensor | float = 0.0,
    steps: int = 20,
    batch: int = 64,
    seed: int = 0,
) -> Tensor:
    """Return the scores (B, steps + 1), float64, while the pixels are replaced by the baseline,
    most important first; column s has the share s / steps replaced. A smaller area is better.

    baseline: a number, or a tensor that broadcasts to the images, such as blurred images. 0 is the
    mean colour of normalised images. batch: images per forward pass, at least B.
    """
    return _curve(answer, maps, images, _like(images, baseline), steps, batch, seed)


def insertion(
    answer: Answer,
    images: Tensor,
    maps: Tensor,
    *,
    baseline: Tensor | float | None = None,
    steps: int = 20,
    batch: int = 64,
    seed: int = 0,
) -> Tensor:
    """Return the scores (B, steps + 1), float64, while the images' pixels replace those of the
    baseline, most important first. A larger area is better.

    baseline: by default the images, blurred by a Gaussian with a side of about a quarter and a
    standard deviation of about a fifth of theirs; else as in deletion.
    """
    hidden = blurred(images) if baseline is None else _like(images, baseline)
    return _curve(answer, maps, hidden, images, steps, batch, seed)


def area_under(curves: Tensor, shares: Sequence[float] | None = None) -> Tensor:
    """Return the mean height (B,) of curves (B, n) by the trapezoidal rule. shares: n ascending
    positions of the values; None: equally spaced. NaN where a curve is."""
    if curves.ndim != 2 or curves.shape[1] < 2:
        raise BadInput(f"curves have shape {tuple(curves.shape)}: (B, n) with n >= 2 is needed.")
    at = torch.linspace(0, 1, curves.shape[1]) if shares is None else torch.tensor([*shares])
    if at.shape != curves.shape[1:] or not bool((at.diff() > 0).all()):
        raise BadInput(f"shares={shares}: {curves.shape[1]} ascending numbers are needed.")
    at = at.to(curves)
    return torch.trapezoid(curves, at, dim=1) / (at[-1] - at[0])


def _curve(
    answer: Answer, maps: Tensor, start: Tensor, end: Tensor, steps: int, batch: int, seed: int
) -> Tensor:
    """Return the scores while the pixels of `start` are replaced by those of `end`."""
    if steps < 1:
        raise BadInput(f"steps={steps}: it is a number of equal shares, 1 or more.")
    rank = pixel_ranks(maps, start, seed)[:, None]
    pixels = rank[0].numel()
    changes = (
        torch.where(rank < round(pixels * step / steps), end, start) for step in range(steps + 1)
    )
    curve = ask(answer, changes, len(maps), batch)
    return curve.masked_fill(empty(maps)[:, None], torch.nan)


def _like(images: Tensor, baseline: Tensor | float) -> Tensor:
    value = torch.as_tensor(baseline).to(images)
    try:
        return value.expand_as(images)
    except RuntimeError as error:
        raise BadInput(
            f"The baseline has shape {tuple(value.shape)}: give a number, or a tensor that "
            f"broadcasts to the images, {tuple(images.shape)}."
        ) from error
