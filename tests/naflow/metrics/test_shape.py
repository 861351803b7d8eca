"""Concentration and likeness: closed forms, numpy's and scipy's correlations, and what must not
matter."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import spearmanr

from naflow import metrics
from naflow.errors import BadInput

CONCENTRATION = (metrics.effective_area, metrics.entropy, metrics.gini)
energies = arrays(np.float64, (3, 4), elements=st.floats(0, 1e3, width=32)).filter(
    lambda energy: energy.max() > 1e-3
)
few_values = arrays(np.float64, (3, 4), elements=st.integers(0, 4))


def values(maps):
    return [float(measure(maps)) for measure in CONCENTRATION]


@pytest.mark.parametrize("pixels", [1, 3, 12])
def test_a_map_that_is_the_same_on_some_pixels(pixels):
    maps = torch.zeros(1, 12)
    maps[0, :pixels] = 0.3
    share = pixels / 12
    expected = [share, np.log(pixels) / np.log(12), 1 - share]
    assert values(maps.view(1, 3, 4)) == pytest.approx(expected)


def test_gini_is_the_mean_difference_of_pairs():
    """Its definition: mean |x_i - x_j| over twice the mean."""
    x = torch.rand(1, 4, 5).double()
    flat = x.flatten()
    pairs = (flat[:, None] - flat).abs().mean() / (2 * flat.mean())
    assert float(metrics.gini(x)) == pytest.approx(float(pairs))


def test_effective_area_and_entropy_written_out():
    maps = torch.tensor([[[1.0, 3.0], [0.0, 0.0]]])
    assert float(metrics.effective_area(maps)) == pytest.approx(16 / (4 * 10))
    expected = -(0.25 * np.log(0.25) + 0.75 * np.log(0.75)) / np.log(4)
    assert float(metrics.entropy(maps)) == pytest.approx(expected)


def test_an_empty_map_is_as_wide_as_a_uniform_one():
    assert values(torch.zeros(1, 3, 4)) == pytest.approx(values(torch.ones(1, 3, 4)))
    assert values(torch.ones(1, 1, 1)) == [1, 1, 0]


@settings(deadline=None)
@given(energies, energies, st.floats(1e-20, 1e20))
def test_scale_does_not_matter(first, second, factor):
    a, b = torch.from_numpy(first)[None], torch.from_numpy(second)[None]
    assert values(a * factor) == pytest.approx(values(a))
    assert float(metrics.correlation(a * factor, b)) == pytest.approx(
        float(metrics.correlation(a, b)), abs=1e-9
    )


@settings(deadline=None)
@given(energies, energies)
def test_correlation_is_that_of_numpy(first, second):
    assume(np.ptp(first) > 1e-3 and np.ptp(second) > 1e-3)
    a, b = torch.from_numpy(first)[None], torch.from_numpy(second)[None]
    found = float(metrics.correlation(a, b))
    assert found == pytest.approx(np.corrcoef(first.ravel(), second.ravel())[0, 1], abs=1e-9)
    assert float(metrics.correlation(b, a)) == pytest.approx(found)
    assert float(metrics.correlation(a, a)) == pytest.approx(1)


def test_the_larger_map_is_averaged_to_the_smaller():
    large, small = torch.rand(1, 4, 6), torch.rand(1, 2, 3)
    blocks = large.view(2, 2, 3, 2).mean((1, 3))
    expected = np.corrcoef(blocks.flatten(), small.flatten())[0, 1]
    assert float(metrics.correlation(large, small)) == pytest.approx(expected, abs=1e-6)
    assert float(metrics.correlation(small, large)) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("flat", [0.0, 0.1, 7.3])
def test_a_flat_map_correlates_with_nothing(flat):
    other = torch.rand(1, 5, 7)
    assert metrics.correlation(torch.full((1, 5, 7), flat), other).tolist() == [0]


@settings(deadline=None)
@given(few_values, few_values)
def test_rank_correlation_is_that_of_scipy(first, second):
    assume(np.ptp(first) and np.ptp(second))
    found = metrics.rank_correlation(
        torch.from_numpy(first)[None] ** 3, torch.from_numpy(second)[None]
    )
    assert float(found) == pytest.approx(spearmanr(first.ravel(), second.ravel())[0])


def test_rank_correlation_of_a_flat_map_and_of_another_size():
    large, small = torch.rand(2, 4, 6), torch.rand(2, 2, 3)
    assert metrics.rank_correlation(torch.zeros(2, 4, 6), large).tolist() == [0, 0]
    blocks = large.view(2, 2, 2, 3, 2).mean((2, 4)).flatten(1)
    expected = [spearmanr(*pair)[0] for pair in zip(blocks, small.flatten(1), strict=True)]
    assert metrics.rank_correlation(small, large).tolist() == pytest.approx(expected)


def test_negative_maps_are_refused():
    for measure in CONCENTRATION:
        with pytest.raises(BadInput, match=r"images \[1\] are negative"):
            measure(torch.tensor([[[1.0]], [[-1.0]]]))
