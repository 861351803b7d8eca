"""ResNet-50 for retrieval, as the multi-similarity loss trains it.

Wang et al., CVPR 2019: global average pooling, one linear layer to 512 numbers, normalised. Batch
norms never update their statistics (their scale and shift do train): training starts from the
ImageNet weights of `resnet50` in all but `fc`. The published backbone also keeps an ImageNet `fc`
that nothing uses; here `fc` is the embedding's layer.
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
        """Batch norms stay in evaluation."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self


def resnet50_ms(embedding: int = 512) -> RetrievalResNet:
    """Bottlenecks 3, 4, 6, 3."""
    return RetrievalResNet(embedding)
