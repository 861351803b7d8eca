"""Evaluate a segmentation: intersection over union of every class."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pipeline.segmentation.targets import VOID


def confusion(predicted: Tensor, targets: Tensor, classes: int) -> Tensor:
    """Return how many pixels of class i were predicted as j, (classes, classes) int64. VOID does
    not count."""
    known = targets != VOID
    pairs = targets[known].long() * classes + predicted[known].long()
    return torch.bincount(pairs, minlength=classes**2).view(classes, classes)


def intersection_over_union(counts: Tensor) -> Tensor:
    """Return the intersection over union of each class, (classes,) float64, from a confusion
    matrix; -1 for a class that is neither in the targets nor predicted."""
    both = counts.diagonal().double()
    either = counts.sum(0) + counts.sum(1) - counts.diagonal()
    return torch.where(either > 0, both / either.clamp_min(1), -1.0)


def numbers(counts: Tensor, names: Sequence[str]) -> dict[str, Any]:
    """Return mean_iou over the classes that have one, accuracy, and the iou of each class, None if
    it has none, from a confusion matrix."""
    found = intersection_over_union(counts)
    return {
        "mean_iou": round(found[found >= 0].mean().item(), 4),
        "accuracy": round((counts.diagonal().sum() / counts.sum()).item(), 4),
        "iou": {
            name: round(value, 4) if value >= 0 else None
            for name, value in zip(names, found.tolist(), strict=True)
        },
    }
