"""Eigen-CAM and its kin: the first principal component of a layer's activation.

As in pytorch-grad-cam, against which the maps are tested; but that one also computes the singular
vectors of all pixels, which takes a hundred times as long, and 0.6 GB at a map of 112 x 112.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from naflow.explainers.cam import CAM


class EigenCAM(CAM):
    """ReLU of the projection onto the first component: Muhammad and Yeasin, IJCNN 2020.

    It does not ask for the score. The component's sign is arbitrary, that of numpy's solver: a map
    may show the background as well as the object.
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
    """Eigen-CAM of |gradient| times activation, turned so that the value of the largest size is
    positive: Chung and Ying, Applied Sciences 15(13), 2025. Not for segmentations alone."""

    name = "Seg-Eigen-CAM"

    def evidence(self, x: Tensor, g: Tensor) -> Tensor:
        found = first_component(g.abs() * x)
        axes = tuple(range(1, found.ndim))
        low, high = found.amin(axes, keepdim=True), found.amax(axes, keepdim=True)
        return torch.where(low.abs() > high.abs(), -found, found)


def first_component(x: Tensor) -> Tensor:
    """(B, C, *size) -> (B, *size): the pixels, their mean subtracted, along the direction of the
    channels in which they differ most."""
    pixels = x.flatten(2).mT.numpy(force=True)
    pixels = pixels - pixels.mean(1, keepdims=True)
    directions = np.linalg.svd(pixels, full_matrices=False)[2][:, 0, :, None]
    return torch.as_tensor(pixels @ directions).to(x).view(len(x), *x.shape[2:])
