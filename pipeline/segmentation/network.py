"""Predictions of a segmentation network: a class number for every pixel."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pipeline.models.subject import outputs


def predicted(
    network: nn.Module, images: Tensor, mean: Sequence[float], std: Sequence[float], batch: int = 32
) -> Tensor:
    """Return the predicted class numbers, (N, H, W) uint8 on the CPU, of uint8 images (N, 3, H, W).

    Raises BadInput if an output is NaN or infinite.
    """
    parts = [outputs(network, part, mean, std, batch) for part in images.split(batch)]
    return torch.cat([logits.argmax(1).to(torch.uint8) for logits in parts])
