"""ResNet-18 and ResNet-50 as NPID trains them: an image becomes a point on a sphere.

Wu et al., CVPR 2018: a ResNet whose last layer gives 128 numbers, divided by their norm. As in the
published code there is no epsilon, so an embedding of exactly zero becomes NaN. Global pooling
replaces the published 7x7 pool: the same at 224 pixels (our choice). Explain such a network by an
image's similarity to another: scores.ChannelContribution(reference), scores.Similarity.
"""

from __future__ import annotations

from torch import Tensor
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet


class SphereResNet(ResNet):
    """Images (B, 3, H, W) -> embeddings (B, D) of norm 1."""

    def forward(self, x: Tensor) -> Tensor:
        v = super().forward(x)
        return v / v.square().sum(1, keepdim=True).sqrt()


def resnet18_npid(embedding: int = 128) -> SphereResNet:
    """Build the network: stages of 2, 2, 2, 2 basic blocks."""
    return SphereResNet(BasicBlock, [2, 2, 2, 2], num_classes=embedding)


def resnet50_npid(embedding: int = 128) -> SphereResNet:
    """Build the network: stages of 3, 4, 6, 3 bottlenecks."""
    return SphereResNet(Bottleneck, [3, 4, 6, 3], num_classes=embedding)
