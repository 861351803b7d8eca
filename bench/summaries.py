"""A study's tables: means of its measures, and how our methods compare with others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from pipeline.atomic import replacing
from pipeline.measuring import thirds
from pipeline.measuring.parts import write

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


def store(page: Path, means: pd.DataFrame, leads: pd.DataFrame, text: str) -> None:
    """Write the page, and the tables into the folder of its name."""
    for name, table in {"means": means, "leads": leads}.items():
        write(page.with_suffix("") / f"{name}.csv", table)
    with replacing(page) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
