"""A curriculum of views: first the object as a bare silhouette, at last the scene as it is.

For training on the embedded scenes, and our choice. A network learns outlines from silhouettes in a
few steps, and keeps them while surfaces come in. On the ground of other pictures, instance
discrimination cannot tell pictures apart by what is chance in these scenes, everything but the
object. Masks are used, classes are not.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from pipeline.pictures.pixels import Pixels


@dataclass(frozen=True)
class Curriculum:
    """When what comes in, as shares of all steps.

    bare      until then, every object is black and every ground white
    plain     until then, object and ground have one colour each, ever more varied
    coloured  from then on, both are as they are
    swap      whether the ground is that of another picture
    """

    bare: float = 0.0
    plain: float = 0.1
    coloured: float = 0.3
    swap: bool = False

    def __call__(
        self, pixels: Pixels, chosen: Tensor, share: float, generator: Generator
    ) -> Tensor:
        """The pictures numbered `chosen` as (B, 3, H, W) uint8, after `share` of all steps."""
        colours = torch.rand(2, len(chosen), 3, 1, 1, generator=generator) * 255
        colours[1] = (colours[0] + 128) % 256  # far from the ground's in every channel
        if self.bare:
            bare = torch.tensor([255.0, 0.0]).view(2, 1, 1, 1, 1)
            varied = _progress(share - self.bare, self.plain - self.bare)
            colours = torch.lerp(bare, colours, varied)
        seen = _progress(share - self.plain, self.coloured - self.plain)
        images = pixels.images[chosen].float()
        mask = pixels.masks[chosen][:, None].float()
        ground = images
        if self.swap:
            other = torch.randint(len(pixels.labels), (len(chosen),), generator=generator)
            ground = _ground(pixels, other)
        ground, object_ = (
            torch.lerp(plain, own, seen)
            for plain, own in zip(colours, (ground, images), strict=True)
        )
        return torch.lerp(ground, object_, mask).round().to(torch.uint8)


def _progress(done: float, all_: float) -> float:
    return min(max(done / all_, 0.0), 1.0) if all_ > 0 else float(done >= 0)


def _ground(pixels: Pixels, chosen: Tensor) -> Tensor:
    """Pictures (B, 3, H, W) whose object is covered by what lies half a picture away."""
    images = pixels.images[chosen].float()
    half = images.shape[-2] // 2, images.shape[-1] // 2
    around = F.max_pool2d(pixels.masks[chosen][:, None].float(), 5, 1, 2)
    return torch.lerp(images, images.roll(half, (2, 3)), around)
