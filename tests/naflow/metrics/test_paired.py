"""Paired p-values against scipy's permutation test, Holm's steps by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import permutation_test

from naflow import BadInput
from naflow.metrics import holm, sign_flip


def test_sign_flips_are_scipys_permutation_test() -> None:
    differences = np.random.default_rng(0).normal(0.4, 1, (30, 3))
    found = sign_flip(differences, draws=20_000)
    for column, p in zip(differences.T, found, strict=True):
        theirs = permutation_test(
            (column,), np.mean, permutation_type="samples", n_resamples=20_000, rng=1
        ).pvalue
        assert p == pytest.approx(theirs, abs=0.015)


def test_few_pictures_cannot_show_much() -> None:
    """Of four pictures 2 in 16 sign patterns are as extreme as all ahead."""
    assert sign_flip(np.ones((4, 1)), draws=40_000)[0] == pytest.approx(1 / 8, abs=0.01)
    assert sign_flip(np.zeros((4, 1)))[0] == 1


def test_what_is_undefined_is_left_out() -> None:
    differences = np.random.default_rng(1).normal(0.5, 1, (20, 2))
    padded = np.concatenate([differences, np.full((5, 2), np.nan)])
    padded[:, 1] = np.nan
    first, second = sign_flip(padded, draws=20_000)
    assert first == pytest.approx(sign_flip(differences, draws=20_000)[0], abs=0.015)
    assert np.isnan(second)


def test_holm_by_hand() -> None:
    np.testing.assert_allclose(
        holm(np.array([0.01, 0.04, np.nan, 0.03, 0.005])), [0.03, 0.06, np.nan, 0.06, 0.02]
    )
    assert holm(np.array([])).shape == (0,)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_keeps_the_order_and_corrects_the_smallest_as_bonferroni(p: list[float]) -> None:
    raw, found = np.array(p), holm(np.array(p))
    assert (found >= raw).all()
    assert found.min() == pytest.approx(min(raw.min() * len(p), 1))
    assert (found[np.argsort(raw, kind="stable")] == np.sort(found)).all()


def test_what_cannot_be_used_is_said() -> None:
    with pytest.raises(BadInput, match="between 0 and 1"):
        holm(np.array([1.2]))
    with pytest.raises(BadInput, match="n >= 1"):
        sign_flip(np.zeros((0, 2)))
    with pytest.raises(BadInput, match="draws=0"):
        sign_flip(np.zeros((2, 2)), draws=0)
