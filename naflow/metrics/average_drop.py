"""How much of the score is left of the part of a picture that a map shows.

Every image is multiplied by its map, upsampled and min-max scaled to [0, 1]. Chattopadhay et al.,
Grad-CAM++, WACV 2018: the means over pictures of `average_drop` and `increase`, there in percent.
A map that is the same everywhere (zero, too) shows no part: NaN, which `bootstrap` leaves out.
"""

from __future__ import annotations

import torch
from torch import Tensor

from naflow.errors import BadInput
from naflow.metrics.answers import Answer, ask
from naflow.metrics.ranking import upsampled


def shown(
    answer: Answer, images: Tensor, maps: Tensor, *, batch: int = 64
) -> tuple[Tensor, Tensor]:
    """(B,) the answers to the whole images, and (B,) to what the maps (B, h, w) show of them.

    answer and batch as in `deletion`. What is hidden is 0: the mean colour of normalised images.
    Raises BadInput for maps that are negative, not finite or not one an image.
    """
    masks = upsampled(maps, images)
    low, high = masks.amin((1, 2), keepdim=True), masks.amax((1, 2), keepdim=True)
    flat = maps.flatten(1)
    nothing = (flat == flat[:, :1]).all(1)
    masks = ((masks - low) / torch.where(high > low, high - low, 1)).to(images)
    before, after = ask(answer, (images, images * masks[:, None]), len(maps), batch).unbind(1)
    return before, after.masked_fill(nothing, torch.nan)


def average_drop(before: Tensor, after: Tensor) -> Tensor:
    """(B,) the share of the score that is lost, max(0, before - after) / before: 0 is best.

    Raises BadInput where a score before is not positive: ask for a probability.
    """
    wrong = (before <= 0).nonzero()[:, 0].tolist()
    if wrong:
        raise BadInput(
            f"The scores of images {wrong} are not positive, and the drop is a share of them: "
            "ask for a probability, ClassProbability."
        )
    return (before - after).clamp(min=0) / before


def increase(before: Tensor, after: Tensor) -> Tensor:
    """(B,) 1 where the part scores more than the whole, else 0: 1 is best. NaN where after is."""
    return (after > before).double().masked_fill(after.isnan(), torch.nan)
