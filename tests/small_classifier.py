"""A classifier that learns the small scenes in no time."""

from torch import nn


def small(classes: int) -> nn.Module:
    """Two convolutions, pooled; maps of 16 and 8 pixels from scenes of 32."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, classes),
    )
