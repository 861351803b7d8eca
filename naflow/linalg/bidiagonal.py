"""Golub-Kahan bidiagonalisation, two products a step: the basis of LSMR and of the spectrum."""

from collections import deque

import torch
from torch import Tensor
from torch.linalg import vector_norm

from .operators import LinearOperator


def norm(v: Tensor) -> Tensor:
    """Euclidean norm of each sample: (B, *) -> (B,)."""
    return vector_norm(v.flatten(1), dim=1)


def across(scalar: Tensor, v: Tensor) -> Tensor:
    """Reshape one number per sample, (B,), so that it multiplies v, (B, *)."""
    return scalar.view(-1, *[1] * (v.ndim - 1))


def plus(a: Tensor, scalar: Tensor, b: Tensor, out: Tensor | None = None) -> Tensor:
    """Return a + scalar b in one pass over memory; a, b are (B, *), scalar (B,); out may be b."""
    return torch.addcmul(a, b, across(scalar, b), out=out)


def unit(v: Tensor, out: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return v / ||v|| and ||v|| of each sample; a zero sample stays zero; out may be v."""
    length = norm(v)
    return torch.div(v, across(length.masked_fill(length == 0, 1), v), out=out), length


class Bidiagonalisation:
    """A V_k = U_{k+1} B_k with orthonormal U, V and lower bidiagonal B_k, for each sample.

    After k steps `alpha` (B,) is B[k+1, k+1], `beta` (B,) is B[k+1, k] (before the first step the
    norm of the starting vector), and `v` (B, *in) is the newest basis vector. Older vectors are not
    kept, except those that `look_ahead` computed in advance. Golub & Kahan 1965; Fong & Saunders
    2011, section 2.1.
    """

    def __init__(self, operator: LinearOperator, start: Tensor) -> None:
        self.operator = operator
        self._u, self.beta = unit(start)
        self.v, self.alpha = unit(operator.rmv(self._u))
        self._last = (self.v, self.alpha)  # of the newest step computed, which may be ahead
        self._ahead: deque[tuple[Tensor, Tensor, Tensor]] = deque()

    def step(self) -> None:
        """Add a column of B: one product with A and one with A^T, unless computed in advance."""
        self.v, self.alpha, self.beta = self._ahead.popleft() if self._ahead else self._advance()

    def look_ahead(self, steps: int) -> Tensor:
        """Return B[1 .. steps + 1, 1 .. steps + 1], (B, steps + 1, steps + 1). Call it before the
        first step. The next `steps` steps then cost nothing."""
        small = self.beta.new_zeros(self.beta.shape[0], steps + 1, steps + 1)
        small[:, 0, 0] = self.alpha
        for k in range(1, steps + 1):
            v, alpha, beta = self._advance()
            small[:, k, k - 1], small[:, k, k] = beta, alpha
            self._ahead.append((v, alpha, beta))
        return small

    def _advance(self) -> tuple[Tensor, Tensor, Tensor]:
        v, alpha = self._last
        u = plus(self.operator.mv(v), -alpha, self._u)
        self._u, beta = unit(u, out=u)
        v = plus(self.operator.rmv(self._u), -beta, v)
        v, alpha = unit(v, out=v)
        self._last = (v, alpha)
        return v, alpha, beta
