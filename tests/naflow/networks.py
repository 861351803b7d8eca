"""Small networks, each with one habit that real models have."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def randomised(model: nn.Module, seed: int = 0) -> nn.Module:
    """Batch norms that have seen data: neither their statistics nor their weights are trivial."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            size = (module.num_features,)
            module.running_mean.copy_(0.2 * torch.randn(size, generator=generator))
            module.running_var.copy_(0.5 + torch.rand(size, generator=generator))
            if module.affine:
                module.weight.data.copy_(0.5 + torch.rand(size, generator=generator))
                module.bias.data.copy_(0.2 * torch.randn(size, generator=generator))
    return model


class Block(nn.Module):
    """A residual block that uses one in-place ReLU twice."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += x
        return self.relu(out)


class Residual(nn.Module):
    """A stem, a max pool, two residual blocks, global average pooling: a small ResNet."""

    def __init__(self, width: int = 6, classes: int = 4) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = nn.Sequential(Block(width), Block(width))
        self.fc = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer1(x)
        return self.fc(x.mean((2, 3)))


class Functional(nn.Module):
    """No module but the convolutions: F.relu in place, F.max_pool2d, F.dropout, view by size."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 5, 3, padding=1), nn.Conv2d(5, 7, 3, padding=1)
        self.fc = nn.Linear(7 * 16, 4)

    def forward(self, x: Tensor) -> Tensor:
        batch = x.size(0)
        x = F.max_pool2d(F.relu(self.conv1(x), inplace=True), 2)
        x = torch.relu_(self.conv2(x))
        x = F.dropout(F.max_pool2d(x, 2, ceil_mode=True), 0.5, self.training)
        return self.fc(x.view(batch, -1))


class Aliased(nn.Module):
    """An in-place ReLU changes the shortcut too, because both are one tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.relu, self.fc = nn.ReLU(inplace=True), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        shortcut = x
        out = self.conv(self.relu(x))
        return self.fc((out + shortcut).mean((2, 3)))


class Undecided(nn.Module):
    """Control flow on the data."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU())
        self.body = nn.Sequential(nn.Conv2d(4, 6, 3, padding=1), nn.ReLU())
        self.fc = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        if x.sum() > 1e9:
            x = x / 2
        x = self.body(x)
        return self.fc(x.mean((2, 3)))


class Attentive(nn.Module):
    """A transformer: patches, and more layers of attention than of convolution."""

    def __init__(self, depth: int = 2) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 8, 4, stride=4)
        self.attend = nn.ModuleList(
            nn.MultiheadAttention(8, 2, batch_first=True) for _ in range(depth)
        )
        self.fc = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        for attend in self.attend:
            x = x + attend(x, x, x)[0]
        return self.fc(x.mean(1))
