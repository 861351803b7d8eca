"""ResNet-50 with CBAM, a channel gate and then a spatial gate in each of its 16 bottlenecks.

Woo et al., ECCV 2018. Tensors are named as in the published weights. The gates come after bn3 and
before the shortcut is added, so a bottleneck with its gates is one unit of a flow. The published
code pools 7x7 at the end; global pooling is the same at 224 pixels and works at other sizes (our
choice).
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck, ResNet


class ChannelGate(nn.Module):
    """x * sigmoid(mlp(mean of x) + mlp(max of x)), pooled over space: (B, C, H, W) -> the same."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = channels // reduction
        self.mlp = nn.Sequential(
            nn.Flatten(), nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        gate = self.mlp(x.mean((2, 3))) + self.mlp(x.amax((2, 3)))
        return x * torch.sigmoid(gate)[:, :, None, None]


class SpatialGate(nn.Module):
    """x * sigmoid(bn(conv7x7([max of x, mean of x]))), pooled over channels, the maximum first."""

    def __init__(self) -> None:
        super().__init__()
        conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)
        bn = nn.BatchNorm2d(1, momentum=0.01)
        self.spatial = nn.Sequential(OrderedDict(conv=conv, bn=bn))

    def forward(self, x: Tensor) -> Tensor:
        pooled = torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], 1)
        return x * torch.sigmoid(self.spatial(pooled))


class CBAM(nn.Module):
    """The channel gate, then the spatial gate: (B, C, H, W) -> the same shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.ChannelGate = ChannelGate(channels)
        self.SpatialGate = SpatialGate()

    def forward(self, x: Tensor) -> Tensor:
        return self.SpatialGate(self.ChannelGate(x))


class GatedBottleneck(Bottleneck):
    """torchvision's bottleneck with CBAM before the sum."""

    def __init__(
        self, inplanes: int, planes: int, stride: int = 1, downsample: nn.Module | None = None,
        groups: int = 1, base_width: int = 64, dilation: int = 1, norm_layer: type | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            inplanes, planes, stride, downsample, groups, base_width, dilation, norm_layer
        )
        self.cbam = CBAM(planes * self.expansion)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.cbam(self.bn3(self.conv3(out)))
        return self.relu(out + shortcut)


def resnet50_cbam(classes: int = 1000) -> ResNet:
    """Build ResNet-50 with CBAM: images (B, 3, H, W) -> logits (B, classes). Initially all biases
    and the batch norms' scales of the spatial gates are 0."""
    network = ResNet(GatedBottleneck, [3, 4, 6, 3], num_classes=classes)
    for name, parameter in network.named_parameters():
        if name.endswith((".SpatialGate.spatial.bn.weight", ".bias")):
            nn.init.zeros_(parameter)
    return network
