"""Average drop and increase: the score when only the part that a map highlights is shown.

Every image is multiplied by its map, upsampled and min-max scaled to [0, 1]. Chattopadhay et al.,
Grad-CAM++, WACV 2018, report the means over pictures of `average_drop` and `increase` in percent.
A constant map (zero, too) highlights no part: its score is NaN, which `bootstrap` leaves out.
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
    """Return the scores (B,) of the whole images, and (B,) of the parts that the maps (B, h, w)
    highlight.

    answer and batch: as in `deletion`. Hidden pixels are 0, the mean colour of normalised images.
    Raises BadInput for maps that are negative or not finite, or that are not one per image.
    """
    masks = upsampled(maps, images)
    low, high = masks.amin((1, 2), keepdim=True), masks.amax((1, 2), keepdim=True)
    flat = maps.flatten(1)
    nothing = (flat == flat[:, :1]).all(1)
    masks = ((masks - low) / torch.where(high > low, high - low, 1)).to(images)
    before, after = ask(answer, (images, images * masks[:, None]), len(maps), batch).unbind(1)
    return before, after.masked_fill(nothing, torch.nan)


def average_drop(before: Tensor, after: Tensor) -> Tensor:
    """Return the share (B,) of the score that is lost, max(0, before - after) / before: 0 is best.

    before, after: as `shown` returns them. Raises BadInput for a score before that is not positive.
    """
    wrong = (before <= 0).nonzero()[:, 0].tolist()
    if wrong:
        raise BadInput(
            f"The scores of images {wrong} are not positive, and the drop is a share of them: "
            "use a probability as score, ClassProbability."
        )
    return (before - after).clamp(min=0) / before


def increase(before: Tensor, after: Tensor) -> Tensor:
    """Return (B,) 1 where the part scores more than the whole, else 0: 1 is best. NaN where after
    is."""
    return (after > before).double().masked_fill(after.isnan(), torch.nan)
