"""Confidence intervals of means over pictures, by resampling the pictures (bootstrap)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from naflow.errors import BadInput


class Estimate(NamedTuple):
    """Means and the ends of their intervals, (k,) each; NaN for a column without any number."""

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def bootstrap(
    values: np.ndarray, resamples: int = 2000, confidence: float = 0.95, seed: int = 0
) -> Estimate:
    """Return the mean over the rows of values (n, k), without NaN, and its percentile interval.

    The rows are the independent units (pictures); all columns are resampled together. Efron and
    Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13. The same seed gives the same
    numbers. Raises BadInput for no rows, or settings out of range.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 2 or not len(values):
        raise BadInput(f"values have shape {values.shape}: (n, k) with n >= 1 is needed.")
    if resamples < 1 or not 0 < confidence < 1:
        raise BadInput(
            f"resamples={resamples}, confidence={confidence}: "
            "at least 1, and between 0 and 1, are needed."
        )
    n = len(values)
    draws = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples)
    defined = ~np.isnan(values)
    filled = np.where(defined, values, 0.0)
    with np.errstate(invalid="ignore"):  # a resample without any defined row has no mean
        means = (draws @ filled) / (draws @ defined)
        mean = filled.sum(0) / defined.sum(0)
    ends = np.full((2, values.shape[1]), np.nan)
    some = defined.any(0)
    tail = 50 * (1 - confidence)
    ends[:, some] = np.nanpercentile(means[:, some], [tail, 100 - tail], axis=0)
    return Estimate(mean, *ends)
