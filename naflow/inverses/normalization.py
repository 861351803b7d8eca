"""Inverse of batch normalisation in evaluation mode (Eq. 11)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from naflow.config import InverseConfig
from naflow.inverses.inverse import ForwardUnit, Inverse, closed_form
from naflow.linalg import Solution


class BatchNorm(Inverse):
    """x = (y - b) / g * sqrt(var + eps) + mean. Channels with g = 0 carry nothing: abandoned."""

    families = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
    description = "exact, channel by channel"

    def matches(self, module: nn.Module) -> bool:
        """Without running statistics the batch's own are used, and samples hang together: such a
        layer is no function of one image, and no rule matches it."""
        return isinstance(module, self.families) and module.running_mean is not None

    def describe(self, module: nn.Module) -> str:
        dead = int((module.weight == 0).sum()) if isinstance(module.weight, Tensor) else 0
        said = f" ({dead} of {module.num_features} have gamma = 0: abandoned)" if dead else ""
        return self.description + said

    def __call__(self, unit: ForwardUnit, target: Tensor, config: InverseConfig) -> Solution:
        norm = unit.module
        shape = (1, -1, *[1] * (target.ndim - 2))
        mean = norm.running_mean.view(shape)
        deviation = (norm.running_var.view(shape) + norm.eps).sqrt()
        if norm.weight is None:
            return closed_form(target * deviation + mean)
        gamma, beta = norm.weight.detach().view(shape), norm.bias.detach().view(shape)
        alive = gamma != 0
        value = (target - beta) / torch.where(alive, gamma, 1.0) * deviation + mean
        left = torch.where(alive, 0.0, target - beta)
        return closed_form(torch.where(alive, value, 0.0), left, target)
