"""The figure of localisation over depth: each layer's share on the object, for every method."""

from collections.abc import Mapping
from itertools import groupby
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.figures.lines import styles
from pipeline.figures.null import null_hypothesis
from pipeline.figures.page import LARGE, NORMAL, SMALL, SOFT, WIDTH, Page

COLUMNS, HEIGHT, LEFT, GAP = 2, 1.05, 0.3, 0.32  # panels per row; inches: a panel, and the gaps
TITLE = "Localisation over depth, model by model"
CAPTION = (
    "Share of the attention map inside the object, over the object's share of the picture, in "
    "every layer from shallow to deep: 1, the dotted line, is what a uniform map has. Lines: means "
    "over pictures; bands: {confidence:.0%} bootstrap intervals. Maps that are zero everywhere are "
    "left out ({undefined} of {maps}). Every picture explained counts, those that figures chose "
    "among them."
)


def draw(table: pd.DataFrame, names: Mapping[str, str]) -> Figure:
    """Draw one panel per model, one line per method.

    table  as evaluation/localisation.csv: model, method, layer, ratio, ratio_low, ratio_high, ...
    names  method -> its label
    """
    there = set(table["method"])
    page, style = Page(), styles(method for method in names if method in there)
    legend(page, style, names)
    width = (WIDTH - COLUMNS * LEFT - 0.04) / COLUMNS
    models = list(table.groupby("model", sort=False))
    top = 0.34
    for number, (model, rows) in enumerate(models):
        row, column = divmod(number, COLUMNS)
        left = LEFT + column * (width + LEFT)
        here = top + row * (HEIGHT + GAP)
        pictures = rows["pictures"].max()
        page.text(left, here - 0.12, str(model), LARGE, fontweight="bold")
        page.text(left + width, here - 0.1, f"{pictures} pictures", SMALL, ha="right", color=SOFT)
        panel(page.axes(left, here, width, HEIGHT), rows, style)
    return page.ended(top + -(-len(models) // COLUMNS) * (HEIGHT + GAP) - 0.08)


def caption(table: pd.DataFrame, names: Mapping[str, str], confidence: float) -> str:
    """Return the figure's complete caption."""
    counts = {"undefined": table["undefined"].sum(), "maps": table["cases"].sum()}
    parts = [CAPTION.format(confidence=confidence, **counts), null_hypothesis(names)]
    return " ".join(filter(None, parts))


def panel(ax: Axes, rows: pd.DataFrame, style: Mapping[str, dict[str, Any]]) -> None:
    """Draw the lines of one model over its layers."""
    of_method = [list(table["layer"]) for _, table in rows.groupby("method")]
    longest = max(of_method, key=len)  # a method may lack layers
    layers = list(dict.fromkeys([*longest, *rows["layer"]]))
    for method, line in style.items():
        table = rows[rows["method"] == method].set_index("layer").reindex(layers)
        at = range(len(layers))
        ax.plot(at, table["ratio"], linewidth=0.9, markersize=1.8, **line)
        ax.fill_between(
            at, table["ratio_low"], table["ratio_high"], color=line["color"], alpha=0.13, lw=0
        )
    ax.axhline(1, color="black", linewidth=0.6, linestyle=(0, (1, 2)), zorder=5)
    ax.set(xlim=(-0.5, len(layers) - 0.5), ylim=(0, None))
    ax.set_xticks(*stages(layers))
    ax.tick_params(labelsize=SMALL, length=2, width=0.5, pad=1.5)
    for side, spine in ax.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_linewidth(0.5)


def stages(layers: list[str]) -> tuple[list[int], list[str]]:
    """Return positions and names of ticks: where each stage with several layers begins, or, before
    the first stage, the first layer. A stage is the layers that share the name before the first
    dot."""
    places, names, at = [0], [layers[0]], 0
    for stage, members in groupby(layers, lambda name: name.split(".")[0]):
        count = len(list(members))
        if count > 1:
            if at == 0:
                places, names = [], []
            places.append(at)
            names.append(stage)
        at += count
    return places, names


def legend(page: Page, style: Mapping[str, dict[str, Any]], names: Mapping[str, str]) -> None:
    """Draw the methods' names and lines in a row above all panels."""
    page.text(0.03, 0.02, "On the object, in multiples of chance", NORMAL, fontweight="bold")
    left = 2.0
    for method, line in style.items():
        ax = page.inches(left, 0.02, 0.24, 0.09)
        bare: dict[str, Any] = line | {"marker": ""}
        ax.plot([0.02, 0.22], [0.045] * 2, linewidth=1, **bare)
        ax.plot([0.12], [0.045], markersize=3, **line)
        page.text(left + 0.28, 0.02, names[method])
        left += 0.42 + 0.045 * len(names[method])
