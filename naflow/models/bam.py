"""ResNet-50 with BAM, a gate after each of its first three stages.

Park et al., BMVC 2018. x -> x (1 + sigmoid(channel(x) * spatial(x))): the published weights need
the product of the two branches, where the paper writes their sum. Tensors are named as in the
published weights. A gate is one unit of a flow: "bam1" to "bam3". Global pooling, in the channel
branch and at the end, replaces the published square and 7x7 pools: the same at 224 pixels (our
choice).
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck, ResNet


class ChannelBranch(nn.Module):
    """Two linear layers on the mean over space: (B, C, H, W) -> (B, C, 1, 1).

    Its batch norm needs more than one image in training.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = channels // reduction
        self.gate_c = nn.Sequential(
            OrderedDict(
                gate_c_fc_0=nn.Linear(channels, hidden),
                gate_c_bn_1=nn.BatchNorm1d(hidden),
                gate_c_relu_1=nn.ReLU(),
                gate_c_fc_final=nn.Linear(hidden, channels),
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.gate_c(x.mean((2, 3)))[:, :, None, None]


class SpatialBranch(nn.Module):
    """Two 3x3 convolutions of dilation 4 on fewer channels: (B, C, H, W) -> (B, 1, H, W)."""

    def __init__(self, channels: int, reduction: int = 16, dilation: int = 4) -> None:
        super().__init__()
        hidden = channels // reduction
        layers: OrderedDict[str, nn.Module] = OrderedDict(
            gate_s_conv_reduce0=nn.Conv2d(channels, hidden, 1),
            gate_s_bn_reduce0=nn.BatchNorm2d(hidden),
            gate_s_relu_reduce0=nn.ReLU(),
        )
        for i in range(2):
            layers[f"gate_s_conv_di_{i}"] = nn.Conv2d(
                hidden, hidden, 3, padding=dilation, dilation=dilation
            )
            layers[f"gate_s_bn_di_{i}"] = nn.BatchNorm2d(hidden)
            layers[f"gate_s_relu_di_{i}"] = nn.ReLU()
        layers["gate_s_conv_final"] = nn.Conv2d(hidden, 1, 1)
        self.gate_s = nn.Sequential(layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.gate_s(x)


class BAM(nn.Module):
    """x (1 + sigmoid(channel(x) * spatial(x))): (B, C, H, W) -> the same shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channel_att = ChannelBranch(channels)
        self.spatial_att = SpatialBranch(channels)

    def forward(self, x: Tensor) -> Tensor:
        return x * (1 + torch.sigmoid(self.channel_att(x) * self.spatial_att(x)))


class GatedResNet(ResNet):
    """torchvision's ResNet-50 with a gate after layer1, layer2 and layer3."""

    def __init__(self, classes: int) -> None:
        super().__init__(Bottleneck, [3, 4, 6, 3], num_classes=classes)
        self.bam1, self.bam2, self.bam3 = BAM(256), BAM(512), BAM(1024)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.bam1(self.layer1(x))
        x = self.bam2(self.layer2(x))
        x = self.bam3(self.layer3(x))
        x = self.avgpool(self.layer4(x))
        return self.fc(x.flatten(1))


def resnet50_bam(classes: int = 1000) -> GatedResNet:
    """Build ResNet-50 with BAM: images (B, 3, H, W) -> logits (B, classes)."""
    return GatedResNet(classes)
