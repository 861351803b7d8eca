"""Statistics over pictures: means over each third of the depth, and paired comparisons."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from naflow import metrics

THIRDS = ("shallow", "middle", "deep")
SIZES = (0, 0.1, 0.3, 1.0)  # of objects, as shares of the picture


def by_third(table: pd.DataFrame, measures: Sequence[str]) -> pd.DataFrame:
    """Return one row per picture and one column per (measure, third): means over the third's
    layers; NaN if the measure is undefined for all of them.

    table: of one model and method, as stage `measure` writes it.
    """
    third = np.ceil(table["depth"] * len(THIRDS) - 1e-9).astype(int) - 1
    return table.groupby(["picture", third])[list(measures)].mean().unstack("depth")


def means(
    table: pd.DataFrame, measures: Sequence[str], resamples: int, confidence: float, seed: int
) -> pd.DataFrame:
    """Return one row per third and measure: the mean over pictures, its interval, and the number of
    pictures."""
    wide = by_third(table, measures)
    estimate = metrics.bootstrap(wide.to_numpy(), resamples, confidence, seed)
    return _rows(wide, dict(zip(("mean", "low", "high"), estimate, strict=True)))


def by_size(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row per size of the object and third: the number of pictures, the mean share of
    the map on the object, and the median ratio of that share to the object's.

    Small objects fill less than a tenth of the picture, large ones at least three tenths. Small
    objects dominate a mean of ratios; these numbers show how much.
    """
    wide = by_third(table, ["share", "ratio"])
    area = table.groupby("picture")["area"].first()
    size = pd.cut(area, SIZES, right=False, labels=["small", "medium", "large"]).astype(str)
    groups = {"all": wide, **{str(name): part for name, part in wide.groupby(size)}}
    rows = [
        {
            "size": name,
            "third": third,
            "pictures": part["share", number].count(),
            "share": part["share", number].mean(),
            "median_ratio": part["ratio", number].median(),
        }
        for name, part in groups.items()
        for number, third in enumerate(THIRDS)
        if ("share", number) in part
    ]
    return pd.DataFrame(rows)


def lead(
    ours: pd.DataFrame,
    other: pd.DataFrame,
    measures: Sequence[str],
    resamples: int,
    confidence: float,
    seed: int,
) -> pd.DataFrame:
    """Return one row per third and measure: ours less the other's, paired over pictures, with its
    interval and the p-value of no difference, not yet corrected for multiple tests."""
    wide = by_third(ours, measures) - by_third(other, measures)
    estimate = metrics.bootstrap(wide.to_numpy(), resamples, confidence, seed)
    columns = dict(zip(("lead", "low", "high"), estimate, strict=True))
    return _rows(wide, columns | {"p": metrics.sign_flip(wide.to_numpy(), seed=seed)})


def _rows(wide: pd.DataFrame, columns: dict[str, np.ndarray]) -> pd.DataFrame:
    places = [(measure, THIRDS[number]) for measure, number in wide.columns]
    table = pd.DataFrame(places, columns=["measure", "third"])
    table["pictures"] = wide.notna().sum().to_numpy()
    return table.assign(**columns)
