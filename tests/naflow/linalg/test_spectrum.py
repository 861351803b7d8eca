"""The estimate of the largest singular value against the dense one."""

import pytest
import torch
from torch.testing import assert_close

from naflow.linalg import (
    Bidiagonalisation,
    Convolution,
    LinearOperator,
    Matrix,
    largest_singular_value,
    lsmr,
)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def operators():
    yield "square", Matrix(normal(4, 60, 60))
    yield "tall", Matrix(normal(4, 120, 40))
    yield "wide", Matrix(normal(4, 40, 120))
    yield "conv", Convolution(normal(8, 6, 3, 3), (2, 6, 9, 9), padding=1)
    yield "strided conv", Convolution(normal(8, 6, 3, 3), (2, 6, 9, 9), stride=2, padding=1)
    yield "pointwise", Convolution(normal(12, 6, 1, 1), (2, 6, 7, 7))
    yield "depthwise", Convolution(normal(6, 1, 3, 3), (2, 6, 9, 9), padding=1, groups=6)


CASES = dict(operators())


def estimate_of(operator: LinearOperator, start: torch.Tensor, steps: int = 6) -> torch.Tensor:
    return largest_singular_value(Bidiagonalisation(operator, start), steps)


@pytest.mark.parametrize("name", CASES)
def test_lower_bound_close_to_the_norm_and_closer_with_steps(name):
    operator = CASES[name]
    start = normal(*operator.output_shape, seed=1)
    exact = torch.linalg.matrix_norm(operator.as_matrix(), ord=2)
    six = estimate_of(operator, start) / exact
    thirty = estimate_of(operator, start, steps=30) / exact
    assert (six > 0.9).all()
    assert (six <= 1 + 1e-12).all()
    assert (thirty > 0.995).all()
    assert (thirty <= 1 + 1e-12).all()
    assert (thirty >= six).all()


def test_zero_start_and_zero_operator_are_zero():
    operator = Matrix(torch.stack([normal(20, 10), normal(20, 10), torch.zeros(20, 10).double()]))
    start = normal(3, 20, seed=1)
    start[1] = 0
    exact = torch.linalg.matrix_norm(operator.as_matrix(), ord=2)
    estimate = estimate_of(operator, start)
    assert estimate[1:].tolist() == [0, 0]
    assert estimate[0] / exact[0] > 0.9


def test_low_rank_ends_early_and_exactly():
    left, right = normal(2, 30, 1), normal(2, 1, 20, seed=1)
    estimate = estimate_of(Matrix(left @ right), normal(2, 30, seed=2))
    assert_close(estimate, left.flatten(1).norm(dim=1) * right.flatten(1).norm(dim=1))


def test_a_sample_does_not_depend_on_its_batch():
    dense, start = normal(4, 30, 20), normal(4, 30, seed=1)
    whole = estimate_of(Matrix(dense), start)
    single = [estimate_of(Matrix(dense[i : i + 1]), start[i : i + 1]) for i in range(4)]
    assert_close(whole, torch.cat(single), rtol=1e-12, atol=0)
    assert torch.equal(whole, estimate_of(Matrix(dense), start))

    dense[2, 0, 0] = torch.nan
    broken = estimate_of(Matrix(dense), start)
    assert broken[2].isnan()
    assert torch.equal(broken[[0, 1, 3]], whole[[0, 1, 3]])


def test_says_what_does_not_fit():
    operator = Matrix(normal(2, 4, 3))
    with pytest.raises(ValueError, match="at least 1"):
        estimate_of(operator, normal(2, 4), steps=0)


def test_steps_taken_ahead_are_replayed():
    operator, start = CASES["conv"], normal(*CASES["conv"].output_shape, seed=1)
    plain, ahead = Bidiagonalisation(operator, start), Bidiagonalisation(operator, start)
    ahead.look_ahead(3)
    for _ in range(5):
        plain.step()
        ahead.step()
        for name in ("v", "alpha", "beta"):
            assert torch.equal(getattr(plain, name), getattr(ahead, name)), name


def test_relative_damping_is_damping_times_the_scale():
    operator, target = CASES["tall"], normal(4, 120, seed=3)
    relative = lsmr(operator, target, relative_damping=0.5, tol=1e-12)
    absolute = lsmr(operator, target, damping=0.5 * estimate_of(operator, target), tol=1e-12)
    assert torch.equal(relative.value, absolute.value)
    assert torch.equal(relative.iterations, absolute.iterations)
