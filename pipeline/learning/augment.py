"""Random views of a batch, computed as tensors on the batch's device."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor


@dataclass(frozen=True)
class Augmentation:
    """How much a training view may differ from its picture; zeros change nothing.

    crop         smallest share of the picture's area that a view may show, from anywhere in it; 1:
                 the whole picture
    zoom, shift  largest change, as a share of the picture's side
    turn         largest rotation in degrees, in either direction
    flip         whether half of the views are mirrored
    colour       largest change of each channel's gain and offset, as a share of its range
    shuffle      share of the views whose colour channels are permuted
    """

    crop: float = 1.0
    zoom: float = 0.15
    shift: float = 0.1
    turn: float = 0.0
    flip: bool = True
    colour: float = 0.2
    shuffle: float = 0.0

    def __call__(self, images: Tensor, size: int, generator: Generator) -> Tensor:
        """Return views (B, 3, size, size) in [0, 1] of uint8 images (B, 3, H, W).

        All random numbers come from `generator`, on the CPU, so a seed means the same on every
        device.
        """
        images = images.float() / 255
        # Reduced to the resolution that the smallest crop needs, as grid_sample does not smooth.
        fine = min(round(size / self.crop**0.5), images.shape[-1]) if self.crop < 1 else size
        if fine != images.shape[-1]:
            images = F.interpolate(
                images, (fine, fine), mode="bilinear", antialias=True, align_corners=False
            )
        placement = self._placement(len(images), generator).to(images.device)
        grid = F.affine_grid(placement, [len(images), 3, size, size], False)
        views = F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
        return self._tinted(views, generator)

    def _placement(self, count: int, generator: Generator) -> Tensor:
        """Draw affine matrices (B, 2, 3) in the convention of `affine_grid`."""

        def between(limit: float, *shape: int) -> Tensor:
            return (2 * torch.rand(*shape, generator=generator) - 1) * limit

        scale, turn = 1 + between(self.zoom, count), torch.deg2rad(between(self.turn, count))
        shift = between(2 * self.shift, count, 2, 1)
        if self.crop < 1:
            area = self.crop + (1 - self.crop) * torch.rand(count, generator=generator)
            scale = scale * area.sqrt()
            shift = shift + (1 - area.sqrt())[:, None, None] * between(1.0, count, 2, 1)
        mirror = 1 - 2 * (torch.rand(count, generator=generator) < 0.5 * self.flip).float()
        cos, sin = scale * turn.cos(), scale * turn.sin()
        matrix = torch.stack([mirror * cos, -sin, mirror * sin, cos], dim=1).view(count, 2, 2)
        return torch.cat([matrix, shift], dim=2)

    def _tinted(self, views: Tensor, generator: Generator) -> Tensor:
        count = len(views)
        gain, offset = (2 * torch.rand(2, count, 3, 1, 1, generator=generator) - 1) * self.colour
        order = torch.rand(count, 3, generator=generator).argsort(1)
        kept = torch.rand(count, 1, generator=generator) >= self.shuffle
        order = torch.where(kept, torch.arange(3), order).to(views.device)
        views = views[torch.arange(count, device=views.device)[:, None], order]
        return (views * (1 + gain.to(views.device)) + offset.to(views.device)).clamp(0, 1)
