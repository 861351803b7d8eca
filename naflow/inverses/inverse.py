"""The base class of inverse rules, and the unit that a rule inverts."""

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
    """One unit y = f(x) with its input and output in the forward pass.

    input   x, (B, *in)
    output  y, (B, *out)
    kept    the output neurons that were not abandoned, boolean (B, *out); None: all of them

    Calling it computes f at another x.
    """

    unit: Unit
    input: Tensor
    output: Tensor
    kept: Tensor | None = None

    @property
    def name(self) -> str:
        """The name of the unit's operation, as in "conv2d" or "relu", if it has only one."""
        return self.unit.kind

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of the unit's only operation, as torch.nn.functional names them."""
        assert self.unit.operation is not None
        return self.unit.operation.arguments

    def __call__(self, x: Tensor) -> Tensor:
        return self.unit(x)


class Inverse(ABC):
    """The inverse rule of one family of operations.

    A subclass sets `families`, the names of its operations, as in ("relu", "hardtanh"); a function,
    method, operator or module that computes the same is the same operation. It sets `description`,
    which the plan shows, and computes the back-propagated feature map (BPFM) in `__call__`. Test it
    with `naflow.testing.check_inverse`.
    """

    families: tuple[str, ...] = ()
    description: str = ""
    #: Whether the rule runs a solver, and not a formula.
    iterative: bool = False

    def matches(self, unit: Unit) -> bool:
        """Whether this rule inverts the unit: by default, a single operation of `families` with one
        input."""
        only = unit.operation
        return only is not None and only.name in self.families and len(only.inputs) == 1

    @abstractmethod
    def __call__(self, unit: ForwardUnit, target: Tensor, config: InverseConfig) -> Solution:
        """Return x~, (B, *in), from target = z~, (B, *out), the BPFM of the unit's output."""

    def describe(self, unit: Unit) -> str:
        """Return what the plan shows for this unit."""
        return self.description


def closed_form(
    value: Tensor, left: Tensor | None = None, target: Tensor | None = None
) -> Solution:
    """Return a Solution whose value (B, *in) comes from a formula.

    left    what remains of the equations, (B, *out); None: they are solved exactly
    target  what `left` is relative to, (B, *out)
    """
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
    """Return ||left|| / ||target|| of each sample, (B, ...) -> (B,); 0 where the target is 0."""
    norm = target.flatten(1).norm(dim=1)
    return torch.where(norm > 0, left.flatten(1).norm(dim=1) / norm, 0.0)
