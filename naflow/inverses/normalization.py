"""Inverse of batch normalisation in evaluation mode (Eq. 11)."""

from __future__ import annotations

import torch
from torch import Tensor

from naflow.inverses.inverse import ForwardUnit, Inverse, closed_form
from naflow.linalg import Solution
from naflow.presets import InverseConfig
from naflow.run.cut import Unit
from naflow.run.operation import Operation


class BatchNorm(Inverse):
    """x = (y - b) / g * sqrt(var + eps) + mean. Channels with g = 0 are abandoned (0)."""

    families = ("batch_norm",)
    description = "exact, channel by channel"

    def matches(self, unit: Unit) -> bool:
        """Whether it is a batch norm with running statistics. With those of the batch, the output
        depends on the other images, and no rule matches."""
        only = unit.operation
        return super().matches(unit) and only is not None and not mixes_samples(only)

    def describe(self, unit: Unit) -> str:
        gamma = unit.operation.arguments["weight"] if unit.operation else None
        dead = int((gamma == 0).sum()) if isinstance(gamma, Tensor) else 0
        if not isinstance(gamma, Tensor) or not dead:
            return self.description
        return f"{self.description} ({dead} of {len(gamma)} have gamma = 0: abandoned)"

    def __call__(self, unit: ForwardUnit, target: Tensor, config: InverseConfig) -> Solution:
        norm = unit.arguments
        shape = (1, -1, *[1] * (target.ndim - 2))
        mean = norm["running_mean"].view(shape)
        deviation = (norm["running_var"].view(shape) + norm["eps"]).sqrt()
        if norm["weight"] is None:
            return closed_form(target * deviation + mean)
        gamma = norm["weight"].detach().view(shape)
        beta = 0.0 if norm["bias"] is None else norm["bias"].detach().view(shape)
        alive = gamma != 0
        value = (target - beta) / torch.where(alive, gamma, 1.0) * deviation + mean
        left = torch.where(alive, 0.0, target - beta)
        return closed_form(torch.where(alive, value, 0.0), left, target)


def mixes_samples(operation: Operation) -> bool:
    """Whether the operation is a batch norm that uses the statistics of the batch."""
    return operation.name == "batch_norm" and (
        operation.arguments["training"] or operation.arguments["running_mean"] is None
    )
