"""Golub-Kahan bidiagonalisation: the two products a step on which LSMR and the spectrum stand."""

from torch import Tensor
from torch.linalg import vector_norm

from .operators import LinearOperator


def norm(v: Tensor) -> Tensor:
    """Euclidean norm of each sample: (B, *) -> (B,)."""
    return vector_norm(v.flatten(1), dim=1)


def across(scalar: Tensor, v: Tensor) -> Tensor:
    """One number per sample, (B,), shaped to multiply v, (B, *)."""
    return scalar.view(-1, *[1] * (v.ndim - 1))


def unit(v: Tensor) -> tuple[Tensor, Tensor]:
    """Split each sample v into v / ||v|| and ||v||; a zero sample stays zero."""
    length = norm(v)
    return v / across(length.masked_fill(length == 0, 1), v), length


class Bidiagonalisation:
    """A V_k = U_{k+1} B_k with orthonormal U, V and lower bidiagonal B_k, for each sample.

    After k steps `alpha` (B,) is B[k+1, k+1], `beta` (B,) is B[k+1, k] (before the first step the
    norm of the starting vector), and `u` (B, *out), `v` (B, *in) are the newest basis vectors.
    Only these two are kept. Golub & Kahan 1965; Fong & Saunders 2011, section 2.1.
    """

    def __init__(self, operator: LinearOperator, start: Tensor) -> None:
        self.operator = operator
        self.u, self.beta = unit(start)
        self.v, self.alpha = unit(operator.rmv(self.u))

    def step(self) -> None:
        """One more column of B: a product with A and one with A^T."""
        u, v = self.u, self.v
        self.u, self.beta = unit(self.operator.mv(v) - across(self.alpha, u) * u)
        self.v, self.alpha = unit(self.operator.rmv(self.u) - across(self.beta, v) * v)
