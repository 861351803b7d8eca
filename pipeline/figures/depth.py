"""The figure of a measure against depth: one panel per model, one line per method with its
interval as a band."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from naflow.methods import label, ordered
from naflow.metrics import bootstrap
from pipeline.figures.lines import styles
from pipeline.figures.page import LARGE, NORMAL, WIDTH, Page, framed

COLUMNS, HEIGHT, GAP, LEFT = 3, 1.1, 0.34, 0.3  # panels a row; inches
TITLES = {
    "ratio": "Localisation: the map's share on the object, over the object's share of the picture",
    "gain": "Faithfulness: area under the insertion curve less that under the deletion curve",
    "own": "Class sensitivity: share on the picture asked for, less the share there for the other",
}
CHANCE = {"ratio": 1.0, "gain": 0.0, "own": 0.0}


def draw(
    measured: Mapping[tuple[str, str], pd.DataFrame],
    measure: str,
    resamples: int,
    confidence: float,
    seed: int,
) -> Figure:
    """Draw one measure, one panel per model.

    measured  (model, method) -> table, one row per picture and layer: layer, depth, picture, the
              measure
    """
    style = styles(ordered({method for _, method in measured}))
    page = Page()
    page.text(0.03, 0.02, TITLES[measure], NORMAL, fontweight="bold")
    top = legend(page, style) + 0.22
    models = list(dict.fromkeys(model for model, _ in measured))
    width = (WIDTH - COLUMNS * LEFT - 0.04) / COLUMNS
    for number, model in enumerate(models):
        row, column = divmod(number, COLUMNS)
        left, here = LEFT + column * (width + LEFT), top + row * (HEIGHT + GAP)
        page.text(left, here - 0.12, model, LARGE, fontweight="bold")
        ax = page.axes(left, here, width, HEIGHT)
        for method, line in style.items():
            if (model, method) in measured:
                curve(ax, measured[model, method], measure, line, (resamples, confidence, seed))
        ax.axhline(CHANCE[measure], color="black", linewidth=0.6, linestyle=(0, (1, 2)), zorder=5)
        ax.set(xlim=(0, 1.02), xticks=[0, 0.5, 1])
        framed(ax, "left", "bottom")
    return page.ended(top + -(-len(models) // COLUMNS) * (HEIGHT + GAP) - 0.08)


def curve(
    ax: Axes,
    table: pd.DataFrame,
    measure: str,
    line: Mapping[str, Any],
    resampling: tuple[int, float, int],
) -> None:
    """Draw the means over pictures, with intervals, at every depth that was measured."""
    wide = table.dropna(subset=[measure]).pivot_table(
        index="picture", columns="depth", values=measure
    )
    if wide.empty:
        return
    mean, low, high = bootstrap(wide.to_numpy(), *resampling)
    at = wide.columns.to_numpy()
    ax.plot(at, mean, linewidth=0.8, markersize=1.8, **line)
    ax.fill_between(at, low, high, color=line["color"], alpha=0.12, lw=0)


def legend(page: Page, style: Mapping[str, Mapping[str, Any]]) -> float:
    """Draw the methods' names and lines in rows; return where they end, in inches."""
    left, top = 0.03, 0.15
    for method, line in style.items():
        name = label(method)
        wide = 0.4 + 0.04 * len(name)
        if left + wide > WIDTH:
            left, top = 0.03, top + 0.11
        ax = page.inches(left, top, 0.24, 0.09)
        bare: dict[str, Any] = {**line, "marker": ""}
        ax.plot([0.02, 0.22], [0.045] * 2, linewidth=1, **bare)
        page.text(left + 0.28, top, name)
        left += wide
    return top + 0.1
