"""ResNet-50 for retrieval, as the multi-similarity loss trains it.

Wang et al., CVPR 2019: global average pooling, one linear layer to 512 numbers, normalised. Batch
norms never update their statistics (their scale and shift are trained): training starts from the
ImageNet weights of `resnet50`, except `fc`. The published backbone also keeps an unused ImageNet
`fc`; here `fc` is the layer that gives the embedding.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import normalize
from torchvision.models.resnet import Bottleneck, ResNet


class RetrievalResNet(ResNet):
    """Images (B, 3, H, W) -> embeddings (B, D) of norm 1."""

    def __init__(self, embedding: int) -> None:
        super().__init__(Bottleneck, [3, 4, 6, 3], num_classes=embedding)
        nn.init.kaiming_normal_(self.fc.weight, mode="fan_out")
        nn.init.zeros_(self.fc.bias)

    def forward(self, x: Tensor) -> Tensor:
        return normalize(super().forward(x))

    def train(self, mode: bool = True) -> RetrievalResNet:
        """Set the mode, but keep batch norms in evaluation mode."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self


def resnet50_ms(embedding: int = 512) -> RetrievalResNet:
    """Build the network: stages of 3, 4, 6, 3 bottlenecks."""
    return RetrievalResNet(embedding)
