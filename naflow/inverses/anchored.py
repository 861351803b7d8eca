"""What infinite damping leaves of a least-squares inverse: its anchor, and nothing to solve."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from naflow.inverses.config import InverseConfig
from naflow.inverses.inverse import ForwardUnit, Inverse, closed_form
from naflow.linalg import Solution


class Anchored(Inverse):
    """x~ = a, whatever z~ is. The residual is what the unit gives for its anchor against what it
    was asked for, ||f(a) - z~|| / ||z~||."""

    def __init__(self, description: str) -> None:
        self.description = description

    def __call__(self, unit: ForwardUnit, target: Tensor, config: InverseConfig) -> Solution:
        if config.anchor == "forward":
            return closed_form(unit.input, unit.output - target, target)
        zero = torch.zeros_like(unit.input)
        with torch.no_grad():
            return closed_form(zero, unit(zero) - target, target)


_ANCHORS = {
    "forward": Anchored("none: the forward activation"),
    "zero": Anchored("none: zero"),
}


def under(rule: Inverse, config: InverseConfig) -> Inverse:
    """The rule itself, or its anchor where the rule iterates and the damping is infinite."""
    return _ANCHORS[config.anchor] if rule.iterative and config.damping == math.inf else rule
