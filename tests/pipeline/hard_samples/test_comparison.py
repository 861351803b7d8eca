"""Differences of pairs, and their intervals."""

import numpy as np
import pytest
import torch
from scipy import stats

from naflow.errors import BadInput
from pipeline.hard_samples.comparison import accuracies, compared, interval, table


@pytest.mark.parametrize(("count", "wanted"), [(2, 12.706205), (3, 4.302653), (10, 2.262157)])
def test_the_interval_is_as_the_tables_have_it(count, wanted):
    """The two-sided 95 % points of Student's t for 1, 2 and 9 degrees of freedom."""
    values = np.arange(count) / 10
    mean, low, high = interval(values, 0.95)
    reach = wanted * values.std(ddof=1) / count**0.5
    assert (mean, low, high) == pytest.approx((values.mean(), mean - reach, mean + reach), rel=1e-5)


def test_the_interval_is_student_s():
    values = np.array([0.02, -0.01, 0.03, 0.015])
    low, high = stats.t.interval(0.95, 3, loc=values.mean(), scale=stats.sem(values))
    assert interval(values, 0.95) == pytest.approx((values.mean(), low, high), rel=1e-5)
    with pytest.raises(BadInput, match="two seeds or more"):
        interval(values[:1], 0.95)


def test_every_two_arms_seed_by_seed():
    a = torch.tensor([[1, 1, 0, 0], [1, 0, 0, 0]]).bool()
    b = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 0]]).bool()
    c = torch.ones(2, 4).bool()
    found = compared({"a": a, "b": b, "c": c})
    assert list(found) == ["b - a", "c - a", "c - b"]
    assert found["b - a"]["seeds"] == [0.25, 0.5]
    assert found["b - a"]["mean"] == 0.375
    assert found["c - b"]["seeds"] == [0.25, 0.25]
    assert found["c - b"]["low"] == found["c - b"]["high"] == 0.25  # both seeds say the same
    assert found["c - b"]["pictures_low"] < 0.25 < found["c - b"]["pictures_high"]
    assert accuracies(a) == {"seeds": [0.5, 0.25], "mean": 0.375}


def test_the_interval_over_pictures_is_that_of_their_mean():
    rng = np.random.default_rng(0)
    a, b = (torch.from_numpy(rng.random((3, 400)) < share) for share in (0.6, 0.8))
    found = compared({"a": a, "b": b})["b - a"]
    pairs = (b.double() - a.double()).mean(0).numpy()
    low, high = stats.norm.interval(0.95, loc=pairs.mean(), scale=stats.sem(pairs))
    assert (found["pictures_low"], found["pictures_high"]) == pytest.approx((low, high), abs=0.005)


def test_the_table_says_it_in_percent():
    arms = {"plain": torch.tensor([[1, 0], [1, 1]]).bool(), "masks": torch.ones(2, 2).bool()}
    told = table(0.5, {name: accuracies(one) for name, one in arms.items()}, compared(arms))
    lines = [line.split() for line in told.splitlines()]
    assert lines[0] == ["before", "50.0%"]
    assert lines[1] == ["plain", "75.0%"]
    assert lines[3][:4] == ["masks", "-", "plain", "+25.0%"]
