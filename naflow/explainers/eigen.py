"""The Eigen-CAM family: the first principal component of a layer's activation.

The maps are tested against pytorch-grad-cam. That package also computes the singular vectors of all
pixels, which takes a hundred times as long, and 0.6 GB for a map of 112 x 112.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from naflow.explainers.cam import CAM


class EigenCAM(CAM):
    """ReLU of the projection onto the first principal component: Muhammad and Yeasin, IJCNN 2020.

    The map does not depend on the score. The component's sign is arbitrary, as numpy's solver gives
    it: a map may show the background as well as the object.
    """

    name = "Eigen-CAM"

    def evidence(self, x: Tensor, g: Tensor) -> Tensor:
        return first_component(x)


class EigenGradCAM(CAM):
    """Eigen-CAM of gradient times activation, as in pytorch-grad-cam."""

    name = "Eigen-Grad-CAM"

    def evidence(self, x: Tensor, g: Tensor) -> Tensor:
        return first_component(g * x)


class SegEigenCAM(CAM):
    """Eigen-CAM of |gradient| times activation, with the sign for which the value of largest
    magnitude is positive: Chung and Ying, Applied Sciences 15(13), 2025. Not for segmentations
    only."""

    name = "Seg-Eigen-CAM"

    def evidence(self, x: Tensor, g: Tensor) -> Tensor:
        maps = first_component(g.abs() * x)
        axes = tuple(range(1, maps.ndim))
        low, high = maps.amin(axes, keepdim=True), maps.amax(axes, keepdim=True)
        return torch.where(low.abs() > high.abs(), -maps, maps)


def first_component(x: Tensor) -> Tensor:
    """Project the pixels, their mean subtracted, on their first principal component:
    (B, C, *size) -> (B, *size)."""
    pixels = x.flatten(2).mT.numpy(force=True)
    pixels = pixels - pixels.mean(1, keepdims=True)
    directions = np.linalg.svd(pixels, full_matrices=False)[2][:, 0, :, None]
    return torch.as_tensor(pixels @ directions).to(x).view(len(x), *x.shape[2:])
