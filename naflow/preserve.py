"""Explain a model and leave it exactly as it was."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


@contextmanager
def preserved(model: nn.Module) -> Generator[nn.Module]:
    """Inside: evaluation mode. After: every module's mode as found, also after an exception.

    Nothing else needs restoring: gradients are never accumulated (`torch.autograd.grad` only, so
    `.grad` and `requires_grad` stay), hooks remove themselves, and in-place activations are run
    as pure copies.
    """
    modules = list(model.modules())
    training = [module.training for module in modules]
    try:
        for module in modules:  # not model.eval(): a user's override of train() may have effects
            module.training = False
        yield model
    finally:
        for module, was_training in zip(modules, training, strict=True):
            module.training = was_training


cudnn: Any = torch.backends.cudnn


@contextmanager
def full_precision() -> Generator[None]:
    """Inside: float32 products on a GPU are float32, not TF32. After: as found.

    A solver that multiplies by J and by J^T needs both to be the same J to its tolerance; TF32
    keeps them alike to about 1e-3 only.
    """
    switches: tuple[Any, Any] = (cudnn.conv, torch.backends.cuda.matmul)
    found = [switch.fp32_precision for switch in switches]
    try:
        for switch in switches:
            switch.fp32_precision = "ieee"
        yield
    finally:
        for switch, precision in zip(switches, found, strict=True):
            switch.fp32_precision = precision
