"""What an inverse rule is, and the unit it inverts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from naflow.linalg import Solution, Stop
from naflow.presets import InverseConfig
from naflow.run.cut import Unit


@dataclass(frozen=True)
class ForwardUnit:
    """One unit y = f(x) at the point where the forward pass left it.

    input, output: x and y, (B, ...). kept: the output neurons that were not abandoned, boolean
    like output; None where all count. Calling it computes f at another x.
    """

    unit: Unit
    input: Tensor
    output: Tensor
    kept: Tensor | None = None

    @property
    def name(self) -> str:
        """What the unit does, if it is one operation: "conv2d", "relu"."""
        return self.unit.kind

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of the unit's one operation, as torch.nn.functional names them."""
        assert self.unit.operation is not None
        return self.unit.operation.arguments

    def __call__(self, x: Tensor) -> Tensor:
        return self.unit(x)


class Inverse(ABC):
    """The inverse rule of one family of operations.

    A subclass names its `families`, as in ("relu", "hardtanh"): functions, methods, operators and
    modules that compute the same are one operation. It says what it does in `description` (shown in
    the plan), and computes the back-propagated feature map. Prove it with
    `naflow.testing.check_inverse`.
    """

    families: tuple[str, ...] = ()
    description: str = ""
    #: Whether a solver runs, and not a formula.
    iterative: bool = False

    def matches(self, unit: Unit) -> bool:
        """Whether this rule inverts the unit: one operation of its families, of one input."""
        only = unit.operation
        return only is not None and only.name in self.families and len(only.inputs) == 1

    @abstractmethod
    def __call__(self, unit: ForwardUnit, target: Tensor, config: InverseConfig) -> Solution:
        """x~ from target = z~, the BPFM of the unit's output, (B, *out) -> (B, *in)."""

    def describe(self, unit: Unit) -> str:
        """The rule's line in the plan, for this very unit."""
        return self.description


def closed_form(
    value: Tensor, left: Tensor | None = None, target: Tensor | None = None
) -> Solution:
    """A Solution of a formula. left: what of the equations stays unsolved, (B, *out), relative to
    target; None where they are solved exactly."""
    batch = len(value)
    exact = left is None or target is None
    return Solution(
        value=value,
        iterations=torch.zeros(batch, dtype=torch.int64, device=value.device),
        residual=value.new_zeros(batch) if exact else relative(left, target),
        stop=torch.full((batch,), int(Stop.CLOSED_FORM), device=value.device),
        condition=value.new_ones(batch),
    )


def relative(left: Tensor, target: Tensor) -> Tensor:
    """||left|| / ||target|| of each sample, (B, ...) -> (B,); 0 where the target is 0."""
    norm = target.flatten(1).norm(dim=1)
    return torch.where(norm > 0, left.flatten(1).norm(dim=1) / norm, 0.0)
