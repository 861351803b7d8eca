"""Inverse of max pooling (Eq. 14). (Average pooling is linear: affine.py.)"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from naflow.inverses.inverse import ForwardUnit, Inverse, closed_form
from naflow.linalg import Solution
from naflow.presets import InverseConfig

_POOLS = {f"max_pool{rank}d": getattr(F, f"max_pool{rank}d") for rank in (1, 2, 3)}
_ADAPTIVE = {f"adaptive_{name}": getattr(F, f"adaptive_{name}") for name in _POOLS}


class MaxPool(Inverse):
    """Put y back at the recorded argmax positions; all other neurons are abandoned (0).

    If several windows pick the same neuron, it gets the value of the last one, in row-major order,
    that was not abandoned; values are never added.
    """

    families = (*_POOLS, *_ADAPTIVE)
    description = "y at the argmax, the rest abandoned"

    def __call__(self, unit: ForwardUnit, target: Tensor, config: InverseConfig) -> Solution:
        _, indices = _pool(unit)
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


def _pool(unit: ForwardUnit) -> tuple[Tensor, Tensor]:
    given = unit.arguments
    if unit.name in _ADAPTIVE:
        return _ADAPTIVE[unit.name](unit.input, given["output_size"], return_indices=True)
    return _POOLS[unit.name](
        unit.input, given["kernel_size"], given["stride"], given["padding"], given["dilation"],
        ceil_mode=given["ceil_mode"], return_indices=True,
    )  # fmt: skip
