"""Masked hard pictures, and how they are mixed into training."""

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

    hide         "background": hide what the classifier does not attend to, M x + (1 - M) fill, as
                 CF-CAM itself does; "attended": hide what it attends to, (1 - M) x + M fill, so
                 that it must find something else. The abstract does not say which; we assume the
                 first
    fill         "blur": the picture, blurred as in CF-CAM; "mean": its mean colour
    probability  of replacing a hard picture by its masked version, drawn each time it is used
    shuffled     put each mask on another picture, as a control

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
        """Return images (B, 3, H, W) uint8 with the part hidden that masks (B, 1, H, W) choose."""
        masks = masks.roll(1, 0) if self.shuffled else masks
        kept = masks if self.hide == "background" else 1 - masks
        shown = images.float()
        fill = blurred(shown) if self.fill == "blur" else shown.mean((2, 3), keepdim=True)
        return torch.lerp(fill.expand_as(shown), shown, kept).round().clamp(0, 255).to(torch.uint8)


@dataclass(frozen=True)
class HardViews:
    """Takes a curriculum's place in the training loop: returns pictures, with hard ones masked at
    random.

    hard         (M,) indices of the hard pictures
    masked       (M, 3, H, W) uint8, their masked versions
    probability  of masking; 0: never. The same random numbers are drawn in any case, so that two
                 trainings with the same seed differ only in what is masked
    """

    hard: Tensor
    masked: Tensor
    probability: float

    def __call__(
        self, pixels: Pixels, chosen: Tensor, share: float, generator: Generator
    ) -> Tensor:
        """Return the pictures with indices `chosen` (B,) as (B, 3, H, W) uint8; `share` has no
        effect."""
        place = torch.full((len(pixels.labels),), -1)
        place[self.hard] = torch.arange(len(self.hard))
        at = place[chosen]
        replaced = (torch.rand(len(chosen), generator=generator) < self.probability) & (at >= 0)
        images = pixels.images[chosen]
        images[replaced] = self.masked[at[replaced]]
        return images
