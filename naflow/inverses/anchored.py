"""The least-squares inverse under infinite damping: it is the anchor, and nothing is solved."""

from __future__ import annotations

import math

from torch import Tensor

from naflow.inverses.inverse import ForwardUnit, Inverse, closed_form
from naflow.linalg import Solution
from naflow.presets import InverseConfig


class Anchored(Inverse):
    """x~ = a, whatever z~ is: nothing is solved, and the residual is given as 0."""

    def __init__(self, description: str) -> None:
        self.description = description

    def __call__(self, unit: ForwardUnit, target: Tensor, config: InverseConfig) -> Solution:
        return closed_form(unit.input if config.anchor == "forward" else 0 * unit.input)


_ANCHORS = {
    "forward": Anchored("none: the forward activation"),
    "zero": Anchored("none: zero"),
}


def under(rule: Inverse, config: InverseConfig) -> Inverse:
    """Return the rule itself, or the rule x~ = a if the damping is infinite.

    A closed form is kept with anchor "zero". With anchor "forward" it is replaced: for neurons that
    are not abandoned it would return the forward activation, too.
    """
    if config.damping < math.inf or not (rule.iterative or config.anchor == "forward"):
        return rule
    return _ANCHORS[config.anchor]
