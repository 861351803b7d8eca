"""The loss, against its sums written out."""

import torch
from torch import nn

from pipeline.segmentation.objective import Segmentation
from pipeline.segmentation.targets import VOID


class Fixed(nn.Module):
    """Gives the same logits whatever it is shown."""

    def __init__(self, logits):
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, _):
        return self.logits


def loss(logits, targets):
    views = torch.cat([torch.rand(len(targets), 3, *targets.shape[1:]), targets[:, None] / 255], 1)
    objective = Segmentation(Fixed(logits), torch.zeros(len(targets)).long(), 4)
    return objective(views, torch.arange(len(targets)))


def test_cross_entropy_and_dice_by_hand():
    logits, targets = torch.randn(2, 3, 4, 4), torch.randint(0, 2, (2, 4, 4)).float()
    targets[0, 0, 0] = VOID
    shares = logits.softmax(1)
    entropy, both, sizes, count = 0.0, [0.0] * 3, [0.0] * 3, 0
    for b in range(2):
        for i in range(4):
            for j in range(4):
                true = int(targets[b, i, j])
                if true == VOID:
                    continue
                count += 1
                entropy -= float(shares[b, true, i, j].log())
                for c in range(3):
                    both[c] += float(shares[b, c, i, j]) * (true == c)
                    sizes[c] += float(shares[b, c, i, j]) + (true == c)
    dice = sum(1 - 2 * both[c] / sizes[c] for c in (0, 1)) / 3  # class 2 is not there: 0
    torch.testing.assert_close(loss(logits, targets).item(), entropy / count + dice)


def test_void_pixels_have_no_gradient():
    logits, targets = torch.randn(1, 3, 4, 4), torch.zeros(1, 4, 4)
    targets[0, :2] = VOID
    views = torch.cat([torch.rand(1, 3, 4, 4), targets[:, None] / 255], 1)
    objective = Segmentation(Fixed(logits), torch.zeros(1).long(), 4)
    objective(views, torch.arange(1)).backward()
    gradient = objective.network.logits.grad
    assert not gradient[:, :, :2].any()
    assert gradient[:, :, 2:].any()
