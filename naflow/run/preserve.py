"""Explain a model and leave it exactly as it was."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

#: Modules held in evaluation mode, by identity: how many hold them, and the mode they were in.
_held: dict[int, tuple[int, bool]] = {}
_lock = threading.Lock()


@contextmanager
def preserved(model: nn.Module) -> Generator[nn.Module]:
    """Inside: evaluation mode, and no autocast, which would round reverse passes, too. After: every
    module's mode as found, also after an exception, and also where several threads explain one
    model: the last to leave puts it back.

    Nothing else needs restoring: gradients are never accumulated (`torch.autograd.grad` only, so
    `.grad` and `requires_grad` stay), and hooks remove themselves.
    """
    modules = list(model.modules())
    with _lock:
        for module in modules:  # not model.eval(): a user's override of train() may have effects
            holders, training = _held.get(id(module), (0, module.training))
            _held[id(module)] = (holders + 1, training)
            if module.training:
                module.training = False
    try:
        with ExitStack() as stack:
            for device in filter(torch.is_autocast_enabled, ("cpu", "cuda", "mps", "xpu")):
                stack.enter_context(torch.autocast(device, enabled=False))
            yield model
    finally:
        with _lock:
            for module in modules:
                holders, training = _held.pop(id(module))
                if holders > 1:
                    _held[id(module)] = (holders - 1, training)
                elif module.training is not training:
                    module.training = training


cudnn: Any = torch.backends.cudnn


@contextmanager
def full_precision() -> Generator[None]:
    """Inside: float32 products on a GPU are float32, not TF32. After: as found, however it was set
    (`set_float32_matmul_precision`, `allow_tf32` or `fp32_precision`).

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
