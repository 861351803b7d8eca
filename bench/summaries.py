"""Means of a study's measures, and how our methods compare with others, with intervals."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from pipeline.measuring import thirds

RESAMPLES, CONFIDENCE, SEED = 2000, 0.95, 0


def summaries(
    found: pd.DataFrame, ours: Sequence[str], measures: Sequence[str], compared: Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the means of `measures` with a column `method`, and the paired differences of
    `compared` between each of ours and each other method, with columns `method` and `less`.

    found  one row per method, picture and layer: columns method, picture, depth, and the measures
    """
    of_method = {str(name): table for name, table in found.groupby("method", sort=False)}
    resampling = RESAMPLES, CONFIDENCE, SEED
    means = pd.concat(
        thirds.means(table, measures, *resampling).assign(method=name)
        for name, table in of_method.items()
    )
    leads = pd.concat(
        thirds.lead(of_method[one], other, compared, *resampling).assign(method=one, less=name)
        for one in ours
        for name, other in of_method.items()
        if name != one
    )
    return means, leads
