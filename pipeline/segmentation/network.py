"""A segmentation network's decisions: a class number for every pixel."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pipeline.models.subject import outputs


def predicted(
    network: nn.Module, images: Tensor, mean: Sequence[float], std: Sequence[float], batch: int = 32
) -> Tensor:
    """(N, H, W) uint8 class numbers of uint8 images (N, 3, H, W), on the CPU.

    Raises BadInput when the network gives a NaN or an infinity.
    """
    parts = [outputs(network, part, mean, std, batch) for part in images.split(batch)]
    return torch.cat([logits.argmax(1).to(torch.uint8) for logits in parts])
