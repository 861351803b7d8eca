"""Pictures with a part hidden, and how they come into training."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor

from naflow.errors import BadInput, near_names
from naflow.perturb.masked import blurred
from pipeline.pictures.pixels import Pixels

HIDES = ("background", "attended")
FILLS = ("blur", "mean")


@dataclass(frozen=True)
class Arm:
    """One way to use the masks.

    hide         "background": what the classifier does not attend to is hidden, M x + (1 - M) fill,
                 the image that CF-CAM itself shows the classifier; "attended": what it attends to
                 is hidden, (1 - M) x + M fill, so that it must find something else. The abstract
                 does not say which: the first is assumed, the second is the other way round
    fill         "blur": the picture under the Gaussian of CF-CAM; "mean": its mean colour
    probability  with which a hard picture is replaced by its masked one, anew each time it is seen
    shuffled     each mask on another picture: what the masks are worth that are not at their place

    Raises BadInput for a value outside its range.
    """

    hide: Literal["background", "attended"] = "background"
    fill: Literal["blur", "mean"] = "blur"
    probability: float = 0.5
    shuffled: bool = False

    def __post_init__(self) -> None:
        for name, known in (("hide", HIDES), ("fill", FILLS)):
            value = getattr(self, name)
            if value not in known:
                raise BadInput(
                    f"finetune.arms: {name}={value!r} is not one of {', '.join(known)}."
                    f"{near_names(value, known)}"
                )
        if not 0 <= self.probability <= 1:
            raise BadInput(f"finetune.arms: probability={self.probability} is not in [0, 1].")

    def masked(self, images: Tensor, masks: Tensor) -> Tensor:
        """Images (B, 3, H, W) uint8 with a part hidden, from them and masks (B, 1, H, W)."""
        masks = masks.roll(1, 0) if self.shuffled else masks
        kept = masks if self.hide == "background" else 1 - masks
        shown = images.float()
        fill = blurred(shown) if self.fill == "blur" else shown.mean((2, 3), keepdim=True)
        return torch.lerp(fill.expand_as(shown), shown, kept).round().clamp(0, 255).to(torch.uint8)


@dataclass(frozen=True)
class HardViews:
    """What takes the place of a curriculum in the training loop: the pictures as they are, the hard
    ones masked now and then.

    hard         (M,) numbers of the hard pictures
    masked       (M, 3, H, W) uint8, their masked ones
    probability  0: never. The same chance is drawn then, so that two trainings of one seed differ
                 in nothing but what is masked
    """

    hard: Tensor
    masked: Tensor
    probability: float

    def __call__(
        self, pixels: Pixels, chosen: Tensor, share: float, generator: Generator
    ) -> Tensor:
        """The pictures numbered `chosen` as (B, 3, H, W) uint8; `share` is of no effect."""
        place = torch.full((len(pixels.labels),), -1)
        place[self.hard] = torch.arange(len(self.hard))
        at = place[chosen]
        replaced = (torch.rand(len(chosen), generator=generator) < self.probability) & (at >= 0)
        images = pixels.images[chosen]
        images[replaced] = self.masked[at[replaced]]
        return images
