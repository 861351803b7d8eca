"""Batched, matrix-free linear algebra: every sample is a problem of its own."""

from .bidiagonal import Bidiagonalisation
from .lsmr import attainable, lsmr
from .operators import Convolution, Jacobian, LinearOperator, Matrix, RowSelection
from .solution import Solution, Stop
from .spectrum import largest_singular_value

__all__ = [
    "Bidiagonalisation",
    "Convolution",
    "Jacobian",
    "LinearOperator",
    "Matrix",
    "RowSelection",
    "Solution",
    "Stop",
    "attainable",
    "largest_singular_value",
    "lsmr",
]
