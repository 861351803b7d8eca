"""The training objective of segmentation: cross-entropy plus Dice loss."""

import torch
import torch.nn.functional as F
from segmentation_models_pytorch.losses import DiceLoss
from torch import Tensor, nn

from pipeline.learning.objectives.objective import Objective
from pipeline.segmentation.targets import VOID


class Segmentation(Objective):
    """Cross-entropy of every pixel's class, plus 1 - the Dice coefficient.

    The views' fourth channel is the target, class number / 255 (see views.py). Cross-entropy counts
    every pixel; Dice (Milletari et al., 3DV 2016) counts a small class as much as a large one. VOID
    pixels do not count.
    """

    def __init__(self, network: nn.Module, labels: Tensor, size: int) -> None:
        super().__init__(network, labels, size)
        self.dice = DiceLoss("multiclass", ignore_index=VOID)

    def forward(self, views: Tensor, chosen: Tensor) -> Tensor:
        logits = self.outputs(views[:, :3].contiguous(memory_format=torch.channels_last))
        targets = (views[:, 3] * 255).round().long()
        return F.cross_entropy(logits, targets, ignore_index=VOID) + self.dice(logits, targets)
