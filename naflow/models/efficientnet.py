"""EfficientNet-Lite0, in the layout of its published TensorFlow weights.

Tan and Le, ICML 2019, in Google's "lite" variant: no squeeze-and-excitation, ReLU6 throughout.
Strided convolutions pad right and below, as TensorFlow's "SAME" does for sizes divisible by 32.
Images (B, 3, H, W) -> logits (B, classes). A block with a skip connection is one unit of a flow, as
"stages.2.1"; the others are cut operation by operation.
"""

from __future__ import annotations

from torch import Tensor, nn

_STEM, _HEAD = 32, 1280  # channels
_EPSILON, _MOMENTUM = 1e-3, 0.01  # of the batch norms

#: For each stage: number of blocks, kernel, stride of the first block, expansion, channels.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class Convolution(nn.Sequential):
    """Convolution and batch norm, with a padding before if it is asymmetric, and optional ReLU6."""

    def __init__(
        self,
        inputs: int,
        out: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        activated: bool = True,
    ) -> None:
        super().__init__()
        padding = kernel // 2
        if stride == 2:
            before, after, padding = (kernel - 2) // 2, (kernel - 1) // 2, 0
            self.pad = nn.ZeroPad2d((before, after, before, after))
        self.conv = nn.Conv2d(inputs, out, kernel, stride, padding, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(out, _EPSILON, _MOMENTUM)
        if activated:
            self.act = nn.ReLU6()


class EfficientNetLite(nn.Module):
    """Stem, seven stages of inverted bottlenecks, head, and a linear classifier."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = Convolution(3, _STEM, 3, stride=2)
        self.stages = nn.Sequential()
        channels = _STEM
        for blocks, kernel, stride, expansion, out in _STAGES:
            stage = nn.Sequential(
                *(
                    Block(
                        channels if i == 0 else out, out, kernel, stride if i == 0 else 1, expansion
                    )
                    for i in range(blocks)
                )
            )
            self.stages.append(stage)
            channels = out
        self.head = Convolution(channels, _HEAD, 1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.dropout = nn.Dropout(0.2)
        self.classifier = nn.Linear(_HEAD, classes)

    def forward(self, x: Tensor) -> Tensor:
        features = self.head(self.stages(self.stem(x)))
        return self.classifier(self.dropout(self.flatten(self.pool(features))))


class Block(nn.Module):
    """An inverted bottleneck: expand, depthwise convolution, project; plus its input if the shapes
    agree."""

    def __init__(self, inputs: int, out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.expand = Convolution(inputs, wide, 1) if expansion > 1 else nn.Sequential()
        self.depthwise = Convolution(wide, wide, kernel, stride, groups=wide)
        self.project = Convolution(wide, out, 1, activated=False)
        self.skips = stride == 1 and inputs == out

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.skips else y


def efficientnet_lite0(classes: int = 1000) -> EfficientNetLite:
    """Build EfficientNet-Lite0: stages of 1, 2, 2, 3, 3, 4, 1 blocks."""
    return EfficientNetLite(classes)
