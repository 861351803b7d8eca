"""The estimate of the largest singular value against the dense one."""

import pytest
import torch
from torch.testing import assert_close

from naflow.linalg import Convolution, Matrix, largest_singular_value


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


@pytest.mark.parametrize("name", CASES)
def test_lower_bound_close_to_the_norm_and_closer_with_steps(name):
    operator = CASES[name]
    start = normal(*operator.output_shape, seed=1)
    exact = torch.linalg.matrix_norm(operator.as_matrix(), ord=2)
    six = largest_singular_value(operator, start) / exact
    thirty = largest_singular_value(operator, start, steps=30) / exact
    assert (six > 0.9).all()
    assert (six <= 1 + 1e-12).all()
    assert (thirty > 0.995).all()
    assert (thirty <= 1 + 1e-12).all()
    assert (thirty >= six).all()


def test_zero_start_falls_back_and_zero_operator_is_zero():
    operator = Matrix(torch.stack([normal(20, 10), normal(20, 10), torch.zeros(20, 10).double()]))
    start = normal(3, 20, seed=1)
    start[1] = 0
    exact = torch.linalg.matrix_norm(operator.as_matrix(), ord=2)
    estimate = largest_singular_value(operator, start)
    assert estimate[2] == 0
    assert (estimate[:2] / exact[:2] > 0.9).all()


def test_low_rank_ends_early_and_exactly():
    left, right = normal(2, 30, 1), normal(2, 1, 20, seed=1)
    estimate = largest_singular_value(Matrix(left @ right), normal(2, 30, seed=2))
    assert_close(estimate, left.flatten(1).norm(dim=1) * right.flatten(1).norm(dim=1))


def test_a_sample_does_not_depend_on_its_batch():
    dense, start = normal(4, 30, 20), normal(4, 30, seed=1)
    whole = largest_singular_value(Matrix(dense), start)
    single = [largest_singular_value(Matrix(dense[i : i + 1]), start[i : i + 1]) for i in range(4)]
    assert_close(whole, torch.cat(single), rtol=1e-12, atol=0)
    assert torch.equal(whole, largest_singular_value(Matrix(dense), start))

    dense[2, 0, 0] = torch.nan
    broken = largest_singular_value(Matrix(dense), start)
    assert broken[2].isnan()
    assert torch.equal(broken[[0, 1, 3]], whole[[0, 1, 3]])


def test_says_what_does_not_fit():
    operator = Matrix(normal(2, 4, 3))
    with pytest.raises(ValueError, match="start has shape"):
        largest_singular_value(operator, normal(2, 3))
    with pytest.raises(ValueError, match="at least 1"):
        largest_singular_value(operator, normal(2, 4), steps=0)
