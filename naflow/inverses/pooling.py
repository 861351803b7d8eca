"""Inverse of max pooling (Eq. 14). (Average pooling is linear: affine.py.)"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from naflow.config import InverseConfig
from naflow.inverses.inverse import ForwardUnit, Inverse, closed_form
from naflow.linalg import Solution


class MaxPool(Inverse):
    """y back at the recorded argmax positions, all other neurons abandoned (0).

    Overlapping windows may pick one neuron twice: it gets the value of the last window in
    row-major order that was not abandoned, once, never a sum.
    """

    families = (nn.MaxPool2d, nn.AdaptiveMaxPool2d)
    description = "y at the argmax, the rest abandoned"

    def __call__(self, unit: ForwardUnit, target: Tensor, config: InverseConfig) -> Solution:
        _, indices = _pool(unit.module, unit.input)
        batch, channels = indices.shape[:2]
        picked = indices.reshape(batch, channels, -1)  # (B, C, windows), position in the input
        windows = torch.arange(picked.shape[2], device=picked.device).expand_as(picked)
        if unit.kept is not None:
            windows = windows.masked_fill(~unit.kept.reshape(batch, channels, -1), -1)
        size = unit.input[0, 0].numel()
        # The last window that picked each neuron: deterministic on every device, unlike scatter.
        last = torch.full((batch, channels, size), -1, device=picked.device)
        last.scatter_reduce_(2, picked, windows, "amax")
        values = target.reshape(batch, channels, -1)
        value = torch.where(last >= 0, values.gather(2, last.clamp(min=0)), 0.0)
        left = value.gather(2, picked) - values
        return closed_form(value.view(unit.input.shape), left, target)


def _pool(module: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    if isinstance(module, nn.AdaptiveMaxPool2d):
        return F.adaptive_max_pool2d(x, module.output_size, return_indices=True)
    return F.max_pool2d(
        x, module.kernel_size, module.stride, module.padding, module.dilation,
        ceil_mode=module.ceil_mode, return_indices=True,
    )  # fmt: skip
