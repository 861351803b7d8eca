"""Conv64F and Conv4Net: four blocks of convolution, batch norm, activation and optional pooling.

Embedding networks of few-shot learning. The paper's own two files are not public, so these are our
choice among the networks that public code calls by these names:

Conv64F   LeakyReLU 0.2, pools after blocks 1 and 2, as DN4 (Li et al., CVPR 2019) and, in its
          pools, Relation Network (Sung et al., CVPR 2018): 14 layers, 64 x 21 x 21 at 84 pixels.
Conv4Net  LeakyReLU 0.1 (Meta-Baseline's convnet4 has ReLU; the slope is its ResNet-12's), pools
          after all four blocks, as Prototypical Networks (Snell et al., NIPS 2017): 16 layers,
          64 x 5 x 5 at 84 pixels.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection

from torch import nn

from naflow.errors import BadInput


class FourBlocks(nn.Sequential):
    """Images (B, 3, H, W) -> their last feature map, flattened to (B, 64 h w), or as it is.

    slope    of the LeakyReLUs for negative values; 0 makes them ReLUs
    pools    numbers of the blocks, 1 to 4, that end with a 2x2 max pool
    bias     whether the convolutions have a bias (those of DN4's files of 2019 have none)
    flatten  False: return the map (B, 64, h, w), for scores.ChannelContribution(...,
             spatial_sum=True), one weight per channel

    Layers are named "block1.conv", "block1.bn", "block1.act", "block1.pool", ... Weights are
    initialised as by He et al. (2015), for the slope (our choice). Raises BadInput for an unknown
    block and for a negative slope.
    """

    def __init__(self, slope: float, pools: Collection[int], bias: bool, flatten: bool) -> None:
        if not set(pools) <= {1, 2, 3, 4}:
            raise BadInput(f"pools={pools!r}: give block numbers from 1 to 4.")
        if slope < 0:
            raise BadInput(f"slope={slope}: a slope is 0 (ReLU) or more.")
        super().__init__()
        for i in (1, 2, 3, 4):
            conv = nn.Conv2d(3 if i == 1 else 64, 64, 3, padding=1, bias=bias)
            nn.init.kaiming_normal_(conv.weight, slope, mode="fan_out")
            act = nn.LeakyReLU(slope) if slope else nn.ReLU()
            block = OrderedDict[str, nn.Module](conv=conv, bn=nn.BatchNorm2d(64), act=act)
            if i in pools:
                block["pool"] = nn.MaxPool2d(2)
            self.add_module(f"block{i}", nn.Sequential(block))
        if flatten:
            self.add_module("flatten", nn.Flatten())


def conv64f(
    slope: float = 0.2, pools: Collection[int] = (1, 2), bias: bool = True, flatten: bool = True
) -> FourBlocks:
    """Build Conv64F; the arguments are those of FourBlocks."""
    return FourBlocks(slope, pools, bias, flatten)


def conv4net(
    slope: float = 0.1,
    pools: Collection[int] = (1, 2, 3, 4),
    bias: bool = True,
    flatten: bool = True,
) -> FourBlocks:
    """Build Conv4Net; the arguments are those of FourBlocks. slope=0 is ProtoNet's Conv-4."""
    return FourBlocks(slope, pools, bias, flatten)
