"""Batched LSMR against scipy's, one sample at a time, and against dense least squares."""

import math

import numpy as np
import pytest
import scipy.sparse.linalg
import torch
from torch.testing import assert_close

from naflow.linalg import Convolution, Matrix, RowSelection, Stop, attainable, lsmr

# scipy's istop; 4, 5 and 6 are 1, 2 and 3 at machine precision.
SCIPY = {
    0: Stop.ZERO,
    1: Stop.COMPATIBLE,
    2: Stop.LEAST_SQUARES,
    3: Stop.ILL_CONDITIONED,
    4: Stop.COMPATIBLE,
    5: Stop.LEAST_SQUARES,
    6: Stop.ILL_CONDITIONED,
    7: Stop.ITERATION_LIMIT,
}


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def rank_deficient(m: int, n: int, rank: int) -> torch.Tensor:
    return normal(3, m, rank) @ normal(3, rank, n, seed=5) / n


def with_zero_column(m: int, n: int) -> torch.Tensor:
    dense = normal(3, m, n)
    dense[:, :, n // 2] = 0
    return dense


def ill_conditioned(n: int, digits: int = 6) -> torch.Tensor:
    q, _ = torch.linalg.qr(normal(3, n, n))
    return q * torch.logspace(0, -digits, n, dtype=torch.float64) @ q.mT


MATRICES = {
    "square": normal(3, 20, 20) + 15 * torch.eye(20),
    "overdetermined": normal(3, 40, 15),
    "underdetermined": normal(3, 15, 40),
    "rank deficient": rank_deficient(30, 20, 8),
    "zero column": with_zero_column(30, 20),
    "ill-conditioned": ill_conditioned(20),
    "small numbers": 1e-3 * normal(3, 40, 15),
    "large numbers": 1e3 * normal(3, 15, 40),
    "one column": normal(3, 9, 1),
}


def assert_as_scipy(dense, target, solution, *, start=None, damping=0.0, **options):
    for i, (a, b) in enumerate(zip(dense.numpy(), target.numpy(), strict=True)):
        x, istop, itn, *_ = scipy.sparse.linalg.lsmr(
            a,
            b,
            damp=float(torch.as_tensor(damping).expand(len(dense))[i]),
            atol=options.get("tol", 1e-8),
            btol=options.get("tol", 1e-8),
            conlim=options.get("condition_limit", 1e8),
            maxiter=options.get("max_iterations"),
            x0=None if start is None else start[i].numpy(),
        )
        assert Stop(int(solution.stop[i])) == SCIPY[istop]
        assert abs(int(solution.iterations[i]) - itn) <= 1
        np.testing.assert_allclose(solution.value[i].numpy(), x, rtol=1e-6, atol=1e-7)
        norm_b = np.linalg.norm(b)
        residual = np.linalg.norm(a @ solution.value[i].numpy() - b) / norm_b if norm_b else 0
        assert math.isclose(solution.residual[i], residual, rel_tol=1e-6, abs_tol=1e-10)


@pytest.mark.parametrize("damping", [0.0, 0.5, torch.tensor([0.0, 0.1, 3.0]).double()])
@pytest.mark.parametrize("started", [False, True])
@pytest.mark.parametrize("name", MATRICES)
def test_equals_scipy(name, started, damping):
    dense = MATRICES[name]
    target = normal(3, dense.shape[1], seed=1)
    start = normal(3, dense.shape[2], seed=2) if started else None
    # Where conditioning is bad, rounding alone parts two runs after some steps, scipy's too.
    options = {"max_iterations": 5 if name == "ill-conditioned" else 60}
    solution = lsmr(Matrix(dense), target, start=start, damping=damping, **options)
    assert_as_scipy(dense, target, solution, start=start, damping=damping, **options)


@pytest.mark.parametrize(
    "options", [{"tol": 1e-3}, {"max_iterations": 5}, {"condition_limit": 3.0}, {"tol": 1e-14}]
)
def test_equals_scipy_at_other_settings(options):
    dense = MATRICES["overdetermined"]
    target = normal(3, 40, seed=1)
    assert_as_scipy(dense, target, lsmr(Matrix(dense), target, **options), **options)


def test_equals_scipy_from_a_start_much_larger_than_the_target():
    """Then ||A|| ||x||, not ||b||, says how small a residual can be asked for."""
    dense, start = normal(3, 60, 120), normal(3, 120, seed=2)
    target = 1e-5 * normal(3, 60, seed=1)
    assert_as_scipy(dense, target, lsmr(Matrix(dense), target, start=start), start=start)


def test_every_stop_in_one_batch_is_that_of_the_sample_alone():
    """Compatible, least squares, zero target, ill-conditioned, not converged, not finite."""
    dense, target = normal(6, 20, 20), normal(6, 20, seed=1)
    dense[0] += 40 * torch.eye(20)
    dense[1, :, 4:] = 0
    dense[4] = torch.linalg.qr(dense[4])[0] * torch.linspace(1, 6, 20).double()
    target[2] = 0
    # Times 100, as scipy's estimate starts from 1 and so is right for norms above 1 alone.
    dense[3] = 100 * ill_conditioned(20, digits=2)[0]
    target[5, 3] = torch.inf
    options = {"condition_limit": 10.0, "max_iterations": 14}
    solution = lsmr(Matrix(dense), target, **options)
    assert [Stop(int(code)) for code in solution.stop] == [
        Stop.COMPATIBLE,
        Stop.LEAST_SQUARES,
        Stop.ZERO,
        Stop.ILL_CONDITIONED,
        Stop.ITERATION_LIMIT,
        Stop.NOT_FINITE,
    ]
    assert_as_scipy(dense[:5], target[:5], solution, **options)
    for i in range(6):
        alone = lsmr(Matrix(dense[i : i + 1]), target[i : i + 1], **options)
        assert alone.iterations[0] == solution.iterations[i]
        assert alone.stop[0] == solution.stop[i]
        assert_close(alone.value[0], solution.value[i], rtol=1e-6, atol=1e-9)
        assert_close(alone.condition[0], solution.condition[i])


@pytest.mark.parametrize("damping", [0.3, 2.0])
def test_damped_solution_is_that_of_the_augmented_system(damping):
    dense, target, start = normal(3, 15, 25), normal(3, 15, seed=1), normal(3, 25, seed=2)
    tall = torch.cat([dense, damping * torch.eye(25).double().expand(3, 25, 25)], dim=1)
    right = torch.cat([target, damping * start], dim=1)
    expected = torch.linalg.lstsq(tall, right.unsqueeze(-1)).solution.squeeze(-1)
    value = lsmr(Matrix(dense), target, start=start, damping=damping, tol=1e-13).value
    assert_close(value, expected, rtol=1e-9, atol=1e-9)


def test_finds_the_solution_nearest_to_the_start():
    dense, target, start = normal(3, 10, 25), normal(3, 10, seed=1), normal(3, 25, seed=2)
    target[1] = 0  # a zero target is no reason to return zero, or the start
    value = lsmr(Matrix(dense), target, start=start, tol=1e-13).value
    gap = target - (dense @ start[..., None]).squeeze(-1)
    expected = start + (torch.linalg.pinv(dense) @ gap[..., None]).squeeze(-1)
    assert_close(value, expected, rtol=1e-9, atol=1e-9)


def test_zero_right_hand_side_returns_the_start():
    dense = normal(3, 10, 6)
    for start in (None, normal(3, 6, seed=2)):
        expected = torch.zeros(3, 6).double() if start is None else start
        target = (dense @ expected[..., None]).squeeze(-1)
        solution = lsmr(Matrix(dense), target, start=start)
        if start is None:
            assert (solution.stop == Stop.ZERO).all()
            assert (solution.residual == 0).all()
            assert (solution.iterations == 0).all()
            assert (solution.condition == 1).all()
        assert_close(solution.value, expected)


def test_convolution_with_dropped_rows():
    operator = Convolution(normal(6, 3, 3, 3), (2, 3, 6, 6), padding=1)
    rows = normal(2, 6, 6, 6, seed=3) > 0
    target = normal(2, 6, 6, 6, seed=1) * rows
    selected = RowSelection(operator, rows)
    solution = lsmr(selected, target, tol=1e-12, max_iterations=1000)
    expected = torch.linalg.pinv(selected.as_matrix()) @ target.flatten(1)[..., None]
    assert_close(solution.value.flatten(1), expected.squeeze(-1), rtol=1e-7, atol=1e-8)
    assert solution.value.shape == (2, 3, 6, 6)


@pytest.mark.parametrize("poison", [torch.nan, torch.inf, 1e200])
@pytest.mark.parametrize("where", ["target", "matrix", "start"])
def test_a_broken_sample_leaves_the_others_bit_equal(poison, where):
    parts = {
        "matrix": normal(4, 30, 20),
        "target": normal(4, 30, seed=1),
        "start": normal(4, 20, seed=2),
    }
    good = lsmr(Matrix(parts["matrix"]), parts["target"], start=parts["start"], damping=0.1)
    parts[where][2].view(-1)[0] = poison
    bad = lsmr(Matrix(parts["matrix"]), parts["target"], start=parts["start"], damping=0.1)
    others = [0, 1, 3]
    for field in ("value", "iterations", "residual", "stop", "condition"):
        assert torch.equal(getattr(good, field)[others], getattr(bad, field)[others])
    assert bad.stop[2] == Stop.NOT_FINITE or poison == 1e200
    if where != "start":
        assert bad.value.isfinite().all()


def test_not_finite_on_the_way_keeps_the_last_finite_iterate():
    class Failing(Matrix):
        calls = 0

        def mv(self, v):
            Failing.calls += 1
            spoiled = super().mv(v)
            if Failing.calls == 4:
                spoiled[1, 0] = torch.nan
            return spoiled

    dense, target = normal(2, 30, 20), normal(2, 30, seed=1)
    three = lsmr(Matrix(dense), target, max_iterations=3)
    solution = lsmr(Failing(dense), target)
    assert solution.stop[1] == Stop.NOT_FINITE
    assert solution.iterations[1] == 4
    assert torch.equal(solution.value[1], three.value[1])
    assert torch.equal(solution.condition[1], three.condition[1])


def test_a_stopped_sample_is_frozen():
    dense = torch.stack([normal(40, 40) + 20 * torch.eye(40), normal(40, 40, seed=3)])
    target = normal(2, 40, seed=1)
    long = lsmr(Matrix(dense), target, check_every=1000)
    first = int(long.iterations[0])
    assert first < int(long.iterations[1])
    short = lsmr(Matrix(dense), target, max_iterations=first)
    assert torch.equal(long.value[0], short.value[0])
    assert long.stop[0] == short.stop[0] == Stop.COMPATIBLE


@pytest.mark.parametrize("check_every", [1, 4, 8])
def test_the_host_rarely_looks_at_the_device(monkeypatch, check_every):
    looks = []
    for name in ("__bool__", "item", "__float__", "__int__", "__index__", "tolist", "cpu", "numpy"):
        original = getattr(torch.Tensor, name)

        def counted(self, *args, _original=original, **kwargs):
            looks.append(_original.__name__)
            return _original(self, *args, **kwargs)

        monkeypatch.setattr(torch.Tensor, name, counted)
    damping = torch.full((3,), 0.01).double()
    solution = lsmr(
        Matrix(MATRICES["overdetermined"]), normal(3, 40, seed=1),
        start=normal(3, 15), damping=damping, check_every=check_every,
    )  # fmt: skip
    monkeypatch.undo()
    iterations = int(solution.iterations.max())
    assert iterations > 8
    assert 1 <= len(looks) <= math.ceil(iterations / check_every) + 1


def test_float32_stops_at_what_it_can_reach():
    assert attainable(1e-8, torch.float64) == 1e-8
    assert 4e-7 < attainable(1e-8, torch.float32) < 5e-7
    dense, target = MATRICES["overdetermined"], normal(3, 40, seed=1)
    exact = lsmr(Matrix(dense), target).value
    solution = lsmr(Matrix(dense.float()), target.float())
    assert (solution.stop == Stop.LEAST_SQUARES).all()
    assert solution.value.dtype == solution.residual.dtype == torch.float32
    assert_close(solution.value.double(), exact, rtol=1e-4, atol=1e-5)


def test_autocast_and_gradients_stay_outside():
    operator = Convolution(normal(4, 3, 3, 3).float(), (1, 3, 5, 5), padding=1)
    target = normal(1, 4, 5, 5).float().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = lsmr(operator, target)
    assert torch.equal(inside.value, lsmr(operator, target).value)
    assert not inside.value.requires_grad


def test_empty_batch():
    solution = lsmr(Matrix(normal(0, 5, 4)), normal(0, 5))
    assert solution.value.shape == (0, 4)
    assert solution.stop.shape == (0,)


def test_every_stop_speaks():
    assert [int(stop) for stop in Stop] == list(range(7))  # results are stored as these codes
    assert len({stop.sentence for stop in Stop}) == len(Stop)
    assert Stop(0) is Stop.ZERO
    assert Stop.CLOSED_FORM.sentence.endswith(".")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"target": normal(2, 4)}, ValueError, "target has shape"),
        ({"target": normal(2, 5).float()}, TypeError, "target is torch.float32"),
        ({"start": normal(2, 5)}, ValueError, "start has shape"),
        ({"damping": -1.0}, ValueError, "damping must be"),
        ({"damping": torch.ones(3)}, ValueError, "one per sample"),
        ({"check_every": 0}, ValueError, "check_every"),
    ],
)
def test_says_what_does_not_fit(options, error, message):
    with pytest.raises(error, match=message):
        lsmr(Matrix(normal(2, 5, 4)), **{"target": normal(2, 5), **options})
    with pytest.raises(TypeError, match="float32 or float64"):
        lsmr(Matrix(normal(2, 5, 4).bfloat16()), normal(2, 5).bfloat16())
