"""Random views of pictures with targets, both moved alike."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from pipeline.learning.augment import Augmentation


@dataclass(frozen=True)
class AlignedAugmentation(Augmentation):
    """An Augmentation of pictures (B, 4, H, W) whose fourth channel is class numbers: it is moved
    like the other three, with nearest-neighbour interpolation and without colour changes."""

    def __call__(self, images: Tensor, size: int, generator: Generator) -> Tensor:
        """Return views (B, 4, size, size) in [0, 1]; the fourth channel is class number / 255."""
        again = Generator()
        again.set_state(generator.get_state())  # to draw the same placement, which comes first
        views = super().__call__(images[:, :3], size, generator)
        placement = self._placement(len(images), again).to(images.device)
        grid = F.affine_grid(placement, [len(images), 1, size, size], False)
        targets = F.grid_sample(
            images[:, 3:].float(), grid, "nearest", padding_mode="reflection", align_corners=False
        )
        return torch.cat([views, targets / 255], dim=1)
