"""The measures of a batch of maps at one layer: localisation, faithfulness, class sensitivity.

Every function returns name -> (B,) float64, NaN where a map is zero everywhere.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from naflow import Flow, metrics
from naflow.perturb.masked import blurred
from pipeline.measuring.asked import Asked

Numbers = dict[str, Tensor]


def place(maps: Tensor, masks: Tensor, tolerance: int) -> Numbers:
    """Measure the localisation of maps (B, h, w) on objects (B, H, W). tolerance: of the pointing
    game, in pixels."""
    measures = {
        "share": metrics.energy_share(maps, masks),
        "ratio": metrics.energy_ratio(maps, masks),
        "interference": metrics.interference(maps, masks),
        "pointing": metrics.pointing_game(maps, masks, tolerance),
        "rank_accuracy": metrics.rank_accuracy(maps, masks),
    }
    nothing = metrics.empty(maps)
    return {name: values.masked_fill(nothing, torch.nan) for name, values in measures.items()}


def faith(
    answer: Callable[[Tensor], Tensor], images: Tensor, maps: Tensor, steps: int, seed: int
) -> Numbers:
    """Measure the faithfulness of maps (B, h, w): the areas under the deletion and insertion curves
    of images (B, 3, H, W). Deleted pixels are blurred.

    `gain` is insertion less deletion: 0 for a map that orders the pixels at random.
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
    """Measure class sensitivity on scenes of two pictures: layer -> name -> (B,).

    In scene i, picture i of images (B, 3, H, W) is left of picture order[i], of another class; if
    there is none, order[i] is i, and the result NaN. `own` is the share of the map on the left half
    when picture i's score is explained, less that share when the other's is: 1 for a method whose
    map is always on the picture whose score is explained, 0 for one that ignores the score.
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
    """Return the share (B,) of the positive part of maps (B, h, w) on their left half."""
    maps = maps.clamp(min=0).double()
    columns = (torch.arange(maps.shape[2], device=maps.device) + 0.5) / maps.shape[2]
    weight = 0.5 * (1 - (columns - 0.5).sign())  # a middle column counts half
    return (maps * weight).sum((1, 2)) / maps.sum((1, 2))
