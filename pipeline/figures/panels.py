"""The parts of figures of flows: pictures, names of layers, rows of maps."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import PurePosixPath

import numpy as np
from matplotlib.axes import Axes

from naflow.plot import overlay, panel
from pipeline.explanations.maps import Maps
from pipeline.figures.null import NULL
from pipeline.figures.page import LARGE, NORMAL, SMALL, SOFT, WIDTH, Page
from pipeline.material.extent import extent
from pipeline.material.view import View
from pipeline.pictures.labels import spoken

LABEL = 0.58  # inches for the names of the rows
HEADER = 0.3  # inches for the names of the layers
NUMBERS = 0.09  # inches for the residuals below a row
MARGIN = 0.03  # inches at both sides of the page
PANEL = 0.95  # of a cell; the rest is the gap to the next one


def places(count: int, least: float, largest: float) -> tuple[float, float]:
    """Return, for `count` columns, where they begin and the side of a cell, in inches.

    At least `least` inches stay free on the left, and more if cells would be larger than `largest`.
    """
    cell = min(largest, (WIDTH - 2 * MARGIN - LABEL - least) / count)
    return WIDTH - MARGIN - cell * (count - 1 + PANEL), cell


def picture(page: Page, left: float, top: float, side: float, view: View) -> float:
    """Draw a picture with its object's outline or box, its class below; return where they end."""
    ax = page.axes(left, top, side, side)
    panel(ax, view.picture)
    outline(ax, extent(view), 0.7)
    top += side + 0.03
    label = spoken(view.label)
    return page.paragraph(left, top, side, label, LARGE, centred=True, fontweight="bold")


def outline(ax: Axes, mask: np.ndarray, width: float, column: int | None = None) -> None:
    """Draw the object's outline, if its mask (H, W) is not empty, over a picture in pixel
    coordinates, or over the panel of a column."""
    if not mask.any():
        return
    height, length = mask.shape
    x, y = np.arange(length) * 1.0, np.arange(height) * 1.0
    if column is not None:
        x, y = column + PANEL * (x + 0.5) / length, 1 - (y + 0.5) / height
    ax.contour(x, y, mask, levels=[0.5], colors="black", linewidths=width)


def header(page: Page, left: float, top: float, cell: float, found: Maps, names: list[str]) -> None:
    """Write the names of layers above their columns, grouped by stage, and the sizes of maps."""
    ax = page.inches(left, top, cell * len(names), HEADER)
    at = 0
    for stem, members in groupby(names, lambda name: name.rpartition(".")[0]):
        end = at + len(list(members))
        if stem:
            edges = at * cell, (end - 1 + PANEL) * cell
            ax.text(sum(edges) / 2, 0.07, stem, fontsize=NORMAL, ha="center")
            ax.plot(edges, [0.1, 0.1], color=SOFT, linewidth=0.5)
        at = end
    for column, name in enumerate(names):
        middle = (column + PANEL / 2) * cell
        size = "×".join(str(side) for side in found.maps[name].shape[1:])
        ax.text(middle, 0.18, name.rpartition(".")[2], fontsize=NORMAL, ha="center")
        ax.text(middle, 0.265, size, fontsize=SMALL, ha="center", color=SOFT)


def rows(
    page: Page,
    left: float,
    top: float,
    cell: float,
    views: Sequence[View],
    found: dict[str, Maps],
    names: list[str],
    roles: Sequence[str] = ("",),
) -> float:
    """Draw the flows of the views, grouped by method; return where they end.

    left   where the panels begin; the methods' names are left of it
    roles  labels of the views, as in ("query", "match")
    """
    for method, maps in found.items():
        start = top
        for view, role in zip(views, roles, strict=True):
            page.text(
                left - 0.03,
                top + cell * PANEL / 2,
                role,
                SMALL,
                rotation=90,
                ha="right",
                va="center",
                color=SOFT,
            )
            row(page, left, top, cell, view.picture, extent(view), view.maps[method], names)
            top += cell
            if any(view.residuals[method].get(name, 0) for name in names):
                residuals(page, left, top, cell, [view.residuals[method].get(n, 0) for n in names])
                top += NUMBERS
        labelled(page, left - 0.06 - 0.1 * any(roles), (start + top) / 2, method, maps)
        top += 0.04 * (len(views) > 1)
    return top


def row(
    page: Page,
    left: float,
    top: float,
    cell: float,
    image: np.ndarray,
    mask: np.ndarray,
    flow: Mapping[str, np.ndarray],
    names: list[str],
) -> None:
    """Draw one flow: each map over the picture, with the object's outline; blank without a map."""
    ax = page.axes(left, top, cell * len(names), cell * PANEL)
    for column, name in enumerate(names):
        if name not in flow:
            continue
        extent = (column, column + PANEL, 0, 1)
        ax.imshow(overlay(image, flow[name]), extent=extent, interpolation="antialiased")
        outline(ax, mask, 0.3, column)
    ax.set(xlim=(0, len(names)), ylim=(0, 1), aspect="auto")
    ax.set_axis_off()


def residuals(page: Page, left: float, top: float, cell: float, values: Sequence[float]) -> None:
    """Write the relative residuals of the inverses below their panels, unless 0."""
    for column, value in enumerate(values):
        if value > 0:
            middle = left + (column + PANEL / 2) * cell
            page.text(middle, top - 0.01, f"{value:.2f}", SMALL, ha="center", color=SOFT)


def labelled(page: Page, right: float, middle: float, method: str, maps: Maps) -> None:
    """Write the name of a method, its preset, and whether it is the null hypothesis."""
    name, _, preset = maps.manifest["method"].partition(" (")
    below = [f"({preset}" * bool(preset), "null hyp." * (method in NULL)]
    lines = [name, *filter(None, below)]
    for number, line in enumerate(lines):
        style = {"color": SOFT} if number else {"fontweight": "bold"}
        place = middle + 0.085 * (number - (len(lines) - 1) / 2)
        page.text(right, place, line, SMALL if number else NORMAL, ha="right", va="center", **style)


def short(key: str) -> str:
    """Return an id without folders and suffix."""
    return PurePosixPath(key).stem
