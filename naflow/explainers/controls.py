"""Controls: baseline maps that ignore the decision, called like every other method.

A method shows something of the decision only if it is better than these. They use only the size of
a layer, except MeanActivation, which uses its activation. The score does not change their maps; it
is checked as for every method.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from naflow.errors import BadInput
from naflow.explainers.cam import CAM
from naflow.flow import Flow
from naflow.reverse.record import Record

_WIDEST = 1e6  # sides; from there on the map is the same everywhere

Size = tuple[int, ...]


class MeanActivation(CAM):
    """sum_k |x_k|: where the layer is active, for whatever class."""

    name = "Mean activation"

    def evidence(self, x: Tensor, g: Tensor) -> Tensor:
        return x.abs().sum(1)


class _Drawn(CAM):
    """A control whose map depends only on the images, the layer's name and the layer's size."""

    @abstractmethod
    def drawn(self, images: Tensor, layer: str, size: Size) -> Tensor:
        """Return the map (B, *size), >= 0."""

    def evidence(self, x: Tensor, g: Tensor) -> Tensor:
        return x[:, 0]  # only its size counts: `explain` replaces it

    def explain(self, record: Record, layers: Sequence[str] | None, keep: Sequence[str]) -> Flow:
        images = record.images
        flow = super().explain(record, layers, keep)
        sizes = {layer: tuple(place.shape[1:]) for layer, place in flow}
        maps = {layer: self.drawn(images, layer, size) for layer, size in sizes.items()}
        return replace(flow, maps=maps)


class CentreGaussian(_Drawn):
    """exp(-r^2 / (2 deviation^2)) around the picture's centre, where photographers put objects.

    deviation  the standard deviation, as a share of each side of the picture

    Raises BadInput for a deviation that is not positive.
    """

    name = "Centre"

    def __init__(
        self,
        model: nn.Module,
        *,
        deviation: float = 0.25,
        **options: Any,
    ) -> None:
        super().__init__(model, **options)
        if not isinstance(deviation, (int, float)) or not 0 < deviation <= _WIDEST:
            raise BadInput(
                f"deviation={deviation!r}: it is a positive share of the side, at most {_WIDEST:g}."
            )
        self.deviation = float(deviation)

    def drawn(self, images: Tensor, layer: str, size: Size) -> Tensor:
        gaussian = images.new_ones(())
        for n in size:
            along = ((torch.arange(n).to(images) + 0.5) / n - 0.5) / self.deviation
            gaussian = gaussian[..., None] * torch.exp(-0.5 * along.square())
        return gaussian.repeat(len(images), *[1] * len(size))


class Edges(_Drawn):
    """Sobel magnitude of the luminance (BT.601) of the images as the model gets them, averaged over
    the area of each of the layer's pixels. Without three channels, their mean is the luminance.

    Raises BadInput for images that are not (B, C, H, W).
    """

    name = "Edges"

    def drawn(self, images: Tensor, layer: str, size: Size) -> Tensor:
        if images.ndim != 4:
            raise BadInput("Edges needs pictures of shape (B, C, H, W).")
        return F.adaptive_avg_pool2d(sobel(luminance(images)), (size[0], size[1]))[:, 0]


class RandomMap(_Drawn):
    """Uniform noise in [0, 1). It depends on the seed, the layer's name and the image's pixels, so
    an image has the same map in every batch, and two images have different ones. Raises BadInput if
    the seed is no whole number."""

    name = "Random"

    def __init__(
        self,
        model: nn.Module,
        *,
        seed: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(model, **options)
        if not isinstance(seed, int):
            raise BadInput(f"seed={seed!r}: it is a whole number.")
        self.seed = seed

    def drawn(self, images: Tensor, layer: str, size: Size) -> Tensor:
        return torch.stack([self._noise(image, layer, size) for image in images]).to(images)

    def _noise(self, image: Tensor, layer: str, size: Size) -> Tensor:
        mark = hashlib.sha256(f"{self.seed} {layer} ".encode())
        mark.update(image.numpy(force=True).tobytes())
        generator = torch.Generator().manual_seed(int.from_bytes(mark.digest()[:8], "big"))
        return torch.rand(size, generator=generator)


def luminance(images: Tensor) -> Tensor:
    """Return the luminance of images: (B, C, H, W) -> (B, 1, H, W)."""
    if images.shape[1] != 3:
        return images.mean(1, keepdim=True)
    weights = images.new_tensor([0.299, 0.587, 0.114])
    return (images * weights[:, None, None]).sum(1, keepdim=True)


def sobel(values: Tensor) -> Tensor:
    """Return the magnitude of the Sobel gradient, (B, 1, H, W) -> (B, 1, H, W). Border pixels are
    repeated, so that the picture's frame is no edge."""
    padded = F.pad(values, (1, 1, 1, 1), mode="replicate")
    across, down = padded[..., 2:] - padded[..., :-2], padded[..., 2:, :] - padded[..., :-2, :]
    return torch.hypot(
        across[..., :-2, :] + 2 * across[..., 1:-1, :] + across[..., 2:, :],
        down[..., :-2] + 2 * down[..., 1:-1] + down[..., 2:],
    )
