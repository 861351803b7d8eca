"""Is one method better than another? Tests paired over pictures, corrected for multiple tests."""

from __future__ import annotations

import numpy as np

from naflow.errors import BadInput


def sign_flip(differences: np.ndarray, draws: int = 10_000, seed: int = 0) -> np.ndarray:
    """Return two-sided p-values (k,) of the means of differences (n, k), by flipping signs.

    If two methods were alike, every picture's difference could as well have the other sign. p is
    the share of sign patterns, the observed one included, whose mean is at least as far from 0.
    Pitman, Suppl. J. Royal Stat. Soc. 4(1), 1937. NaN differences are left out; a column of NaN has
    p NaN. The same seed gives the same numbers. Raises BadInput unless differences are (n, k) with
    n >= 1 and draws >= 1.
    """
    differences = np.asarray(differences, np.float64)
    if differences.ndim != 2 or not len(differences):
        raise BadInput(f"differences have shape {differences.shape}: (n, k) with n >= 1 is needed.")
    if draws < 1:
        raise BadInput(f"draws={draws}: at least 1 is needed.")
    filled = np.nan_to_num(differences)
    seen = np.abs(filled.sum(0))
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], (draws, len(filled)))
    # With a margin for rounding: an equal pattern, summed in another order, must count.
    beyond = np.abs(signs @ filled) >= seen * (1 - 1e-12)
    p = (1 + beyond.sum(0)) / (1 + draws)
    return np.where(np.isnan(differences).all(0), np.nan, p)


def holm(p: np.ndarray) -> np.ndarray:
    """Correct p-values (k,) for multiple tests: compared with a level, the probability of any false
    positive among the k stays below that level. NaN stays NaN and does not count.

    Holm, Scandinavian J. Statistics 6(2), 1979. Raises BadInput for numbers outside 0 to 1.
    """
    p = np.asarray(p, np.float64)
    if p.ndim != 1 or ((p < 0) | (p > 1)).any():
        raise BadInput(f"p-values {p}: a list of numbers between 0 and 1 is needed.")
    corrected = np.full(len(p), np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1) if len(order) else []
    return corrected
