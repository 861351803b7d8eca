"""Does the score depend on the pixels that a map calls important? Deletion and insertion.

maps (B, h, w), raw and >= 0, one for every image (B, C, H, W): its pixels are ranked by the
bilinearly upsampled map, ties at random from a seed, and changed in equal shares. answer: any
callable from changed images to one number each, such as `Answers(model, ClassProbability(c), B)`.

A map that is zero everywhere ranks nothing: its row is NaN, which `bootstrap` leaves out and
`empty` counts. A map that is the same everywhere, but not zero, has the random order, chance.

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
    """(B, steps + 1) the answers, float64, as the pixels are replaced by the baseline, the most
    important first; column s has the share s / steps replaced. Less area is better.

    baseline: a number, or a tensor that broadcasts to the images, as blurred ones do. 0 is the
    mean colour of images that were normalised. batch: images in a forward pass, see `ask`.
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
    """(B, steps + 1) the answers, float64, as the pixels of the images replace those of the
    baseline, the most important first. More area is better.

    baseline: by default the images under a Gaussian of a fifth of their side; else as in deletion.
    """
    hidden = blurred(images) if baseline is None else _like(images, baseline)
    return _curve(answer, maps, hidden, images, steps, batch, seed)


def area_under(curves: Tensor, shares: Sequence[float] | None = None) -> Tensor:
    """(B,) the mean height of curves (B, n) by the trapezoidal rule: at these shares of what was
    changed, ascending, or else at n equally spaced ones. NaN where a curve is."""
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
    """The answers on the way from the images `start` to the images `end`."""
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
