"""Intervals: the normal approximation, coverage, missing values, the same seed."""

import numpy as np
import pytest

from naflow.errors import BadInput
from naflow.metrics import bootstrap

RANDOM = np.random.default_rng(3)


def test_a_large_sample_has_the_interval_of_the_normal_distribution():
    values = RANDOM.normal([[2.0, -1.0]], [[1.0, 3.0]], (2000, 2))
    mean, low, high = bootstrap(values, resamples=4000)
    error = values.std(0) / np.sqrt(len(values))
    assert mean == pytest.approx(values.mean(0))
    assert low == pytest.approx(mean - 1.96 * error, abs=0.1 * error.max())
    assert high == pytest.approx(mean + 1.96 * error, abs=0.1 * error.max())


def test_it_covers_the_true_mean_about_as_often_as_it_says():
    samples = RANDOM.exponential(1.0, (50, 400))  # 400 samples of 50, true mean 1
    _, low, high = bootstrap(samples, resamples=1000)
    assert 0.88 < ((low <= 1) & (high >= 1)).mean() < 0.97
    _, narrow, wide = bootstrap(samples, resamples=1000, confidence=0.5)
    assert 0.4 < ((narrow <= 1) & (wide >= 1)).mean() < 0.6


def test_undefined_values_count_for_nothing():
    values = np.array([[1.0, np.nan], [3.0, np.nan], [np.nan, np.nan]])
    mean, low, high = bootstrap(values)
    assert mean[0] == 2 and low[0] == 1 and high[0] == 3
    assert np.isnan([mean[1], low[1], high[1]]).all()


def test_one_picture_and_the_same_seed():
    assert bootstrap(np.array([[0.25]])) == ([0.25], [0.25], [0.25])
    values = RANDOM.random((20, 3))
    first, again, other = (bootstrap(values, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("values", "settings", "sentence"),
    [
        (np.zeros((0, 2)), {}, "n >= 1"),
        (np.zeros(3), {}, r"shape \(3,\)"),
        (np.zeros((2, 2)), {"resamples": 0}, "resamples=0"),
        (np.zeros((2, 2)), {"confidence": 95}, "confidence=95"),
    ],
)
def test_what_cannot_be_resampled(values, settings, sentence):
    with pytest.raises(BadInput, match=sentence):
        bootstrap(values, **settings)
