"""What is measured of the maps of a batch, layer by layer: place, faithfulness, and whose they are.

Every function gives name -> (B,) float64, NaN where a map is zero everywhere.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from naflow import Flow, metrics
from naflow.perturb.masked import blurred
from pipeline.measuring.asked import Asked

Numbers = dict[str, Tensor]


def place(maps: Tensor, masks: Tensor, tolerance: int) -> Numbers:
    """Where maps (B, h, w) lie against objects (B, H, W); tolerance, in pixels, is that of the
    pointing game."""
    found = {
        "share": metrics.energy_share(maps, masks),
        "ratio": metrics.energy_ratio(maps, masks),
        "interference": metrics.interference(maps, masks),
        "pointing": metrics.pointing_game(maps, masks, tolerance),
        "rank_accuracy": metrics.rank_accuracy(maps, masks),
    }
    nothing = metrics.empty(maps)
    return {name: values.masked_fill(nothing, torch.nan) for name, values in found.items()}


def faith(
    answer: Callable[[Tensor], Tensor], images: Tensor, maps: Tensor, steps: int, seed: int
) -> Numbers:
    """What the network answers while the pixels of images (B, 3, H, W) are taken away, and while
    they come back, the strongest of maps (B, h, w) first; what is not there is blurred.

    insertion less deletion is `gain`: a map that orders the pixels by chance has 0.
    """
    hidden = blurred(images)
    curves = (
        change(answer, images, maps, baseline=hidden, steps=steps, seed=seed)
        for change in (metrics.insertion, metrics.deletion)
    )
    insertion, deletion = (metrics.area_under(curve) for curve in curves)
    return {"insertion": insertion, "deletion": deletion, "gain": insertion - deletion}


def owner(
    explain: Callable[..., Flow], images: Tensor, asked: Asked, order: Tensor, layers: list[str]
) -> dict[str, Numbers]:
    """Layer -> how well the maps of two questions are told apart, on scenes of two pictures.

    Picture i (B, 3, H, W) stands left of picture order[i], of another class; where there is none,
    order[i] is i, and the answer NaN. `own` is the share of
    the map that lies on the left half when picture i's question is asked, less the same when the
    other's is: 1 for a method that is always on the picture asked for, 0 for one that does not
    see the question.
    """
    scenes = torch.cat([images, images[order]], dim=3)
    rows = torch.arange(len(images))
    own, other = (explain(scenes, asked.score(one), layers=layers) for one in (rows, order))
    alone = (order == rows).to(images.device)
    differences = {layer: _left(own[layer]) - _left(other[layer]) for layer in layers}
    return {
        layer: {"own": difference.masked_fill(alone, torch.nan)}
        for layer, difference in differences.items()
    }


def _left(maps: Tensor) -> Tensor:
    """(B,) the share of the positive part of maps (B, h, w) on their left half."""
    maps = maps.clamp(min=0).double()
    columns = (torch.arange(maps.shape[2], device=maps.device) + 0.5) / maps.shape[2]
    weight = 0.5 * (1 - (columns - 0.5).sign())  # the middle one of an odd number counts half
    return (maps * weight).sum((1, 2)) / maps.sum((1, 2))
