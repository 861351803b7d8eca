"""Explain a model and leave it exactly as it was."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

#: id of a module held in evaluation mode -> (number of holders, its mode before).
_held: dict[int, tuple[int, bool]] = {}
_lock = threading.Lock()


@contextmanager
def preserved(model: nn.Module) -> Generator[nn.Module]:
    """Put a model into evaluation mode and switch autocast off, which would round reverse passes,
    too. Afterwards every module has its old mode, also after an exception. If several threads
    explain one model, the last one restores it.

    Nothing else needs restoring: only `torch.autograd.grad` is used, so `.grad` and `requires_grad`
    do not change, and hooks remove themselves.
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
    """Compute float32 products on a GPU in float32, not TF32. Afterwards the old setting is back,
    however it was made (`set_float32_matmul_precision`, `allow_tf32` or `fp32_precision`).

    A solver needs its products with J and J^T to agree to its tolerance; in TF32 they agree to
    about 1e-3 only.
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
