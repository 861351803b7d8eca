"""ResNet-18 and ResNet-50: torchvision's own, in the layout of its IMAGENET1K_V1 weights.

He et al., CVPR 2016; the stride of a bottleneck sits in its 3x3 convolution ("v1.5"). Images
(B, 3, H, W) -> logits (B, classes). Every residual block is one unit of a flow, "layer4.1".
"""

from __future__ import annotations

from torch import nn
from torchvision import models


def resnet18(classes: int = 1000) -> nn.Module:
    """Build ResNet-18: stages of 2, 2, 2, 2 basic blocks."""
    return models.resnet18(num_classes=classes)


def resnet50(classes: int = 1000) -> nn.Module:
    """Build ResNet-50: stages of 3, 4, 6, 3 bottlenecks."""
    return models.resnet50(num_classes=classes)
