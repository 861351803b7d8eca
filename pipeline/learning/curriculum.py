"""A curriculum of views: first the object as a silhouette, in the end the scene as it is.

For training on the embedded scenes; our choice. A network learns outlines from silhouettes in a few
steps, and keeps them while textures are added. Objects can also be put on the background of other
pictures: then instance discrimination cannot use the background, which is random in these scenes.
Masks are used, classes are not.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from pipeline.pictures.pixels import Pixels


@dataclass(frozen=True)
class Curriculum:
    """When each change begins or ends, as a share of all steps.

    bare      until then, every object is black and every background white
    plain     until then, object and background have one colour each, which varies more and more
    coloured  from then on, both have their own textures
    swap      whether the background is that of another picture
    """

    bare: float = 0.0
    plain: float = 0.1
    coloured: float = 0.3
    swap: bool = False

    def __call__(
        self, pixels: Pixels, chosen: Tensor, share: float, generator: Generator
    ) -> Tensor:
        """Return the pictures with indices `chosen` (B,) as (B, 3, H, W) uint8, after `share` of
        all steps."""
        colours = torch.rand(2, len(chosen), 3, 1, 1, generator=generator) * 255
        colours[1] = (colours[0] + 128) % 256  # far from the background's in every channel
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
    """Return pictures (B, 3, H, W) whose object is covered by the part half a picture away."""
    images = pixels.images[chosen].float()
    half = images.shape[-2] // 2, images.shape[-1] // 2
    around = F.max_pool2d(pixels.masks[chosen][:, None].float(), 5, 1, 2)
    return torch.lerp(images, images.roll(half, (2, 3)), around)
