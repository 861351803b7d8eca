"""The result of a solve: the solution, and the statistics that say how far to trust it."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Self

from torch import Tensor


class Stop(IntEnum):
    """Why a sample's solve stopped; `Stop(code).sentence` says it in words."""

    sentence: str

    def __new__(cls, code: int, sentence: str) -> Self:
        """Make a member of an int that also has a sentence."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.sentence = sentence
        return member

    ZERO = 0, "The start already is a solution; nothing was iterated."
    COMPATIBLE = 1, "Solved: the equations hold to the tolerance."
    LEAST_SQUARES = 2, "Solved in the least-squares sense: no change of x lowers the residual."
    ILL_CONDITIONED = 3, "Stopped: the condition estimate passed its limit; regularise (damping)."
    ITERATION_LIMIT = 4, "Not converged: the iteration limit came first."
    NOT_FINITE = 5, "Failed: a NaN or infinity appeared; the last finite iterate is returned."
    CLOSED_FORM = 6, "Exact: a formula, no solver."


@dataclass(frozen=True)
class Solution:
    """A batch of solutions, every field on the operator's device.

    value       (B, *in), x
    iterations  (B,) int64, of each sample
    residual    (B,), ||A x - b|| / ||b|| without the damping term, computed and not estimated; 0
                where b = 0
    stop        (B,) int64, `Stop` codes
    condition   (B,), condition number of the (damped) operator, estimated from the iterations; 1 if
                there were none
    """

    value: Tensor
    iterations: Tensor
    residual: Tensor
    stop: Tensor
    condition: Tensor
