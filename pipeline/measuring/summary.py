"""The summary of a study as Markdown: one table per measure."""

from collections.abc import Mapping

import pandas as pd

from pipeline.markdown import table as markdown_table
from pipeline.measuring.columns import BASIC
from pipeline.measuring.thirds import THIRDS


def text(means: pd.DataFrame, tally: Mapping, ours: str) -> str:
    """Return the summary.

    means  one row for each model, method, third and measure
    tally  other method -> measure -> third -> number of models on which `ours` is ahead, alike,
           behind
    ours   the method that the others are compared with
    """
    parts = []
    for measure, (title, *_) in BASIC.items():
        table = means[means["measure"] == measure]
        wide = table.pivot_table("mean", "method", "third", aggfunc="mean").reindex(columns=THIRDS)
        if wide.empty:
            continue
        models = table.dropna(subset=["mean"])["model"].nunique()
        heads = ["method", *THIRDS, *(f"against it, {third}" for third in THIRDS)]
        rows = []
        for method in sorted(wide.index, key=lambda one: (one != ours, -wide.loc[one].mean())):
            numbers = [f"{value:.2f}" for value in wide.loc[method]]
            counts = tally.get(method, {}).get(measure, {})
            rows.append([f"`{method}`", *numbers, *(_counted(counts.get(t)) for t in THIRDS)])
        told = (
            f"Means over {models} models. Against it: on how many of them `{ours}` is ahead / "
            "alike / behind, Holm's correction made."
        )
        parts.append(f"## {title}\n\n{told}\n\n{markdown_table(heads, rows)}")
    return "\n".join(parts)


def _counted(counts: Mapping[str, int] | None) -> str:
    return "" if counts is None else " / ".join(map(str, counts.values()))
