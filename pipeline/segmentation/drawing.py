"""The figure `segmentation`: pictures with pixel sets, one row per method, one column per layer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from matplotlib.figure import Figure

from naflow.plot import overlay, panel
from pipeline.figures.page import LARGE, NORMAL, SMALL, SOFT, WIDTH, Page
from pipeline.figures.panels import (
    HEADER,
    MARGIN,
    NUMBERS,
    PANEL,
    places,
    residuals,
    short,
)
from pipeline.pictures.labels import spoken
from pipeline.segmentation.answers import Answer
from pipeline.segmentation.marks import colour, coloured, marked

SIDE, LARGEST = 0.82, 0.5  # inches: side of a picture, largest cell


@dataclass(frozen=True)
class Sheet:
    """What the figure shows.

    classes  names of the classes, by number
    methods  key -> name
    layers   names, in the order in which they run
    """

    model: str
    images: str
    classes: Sequence[str]
    methods: Mapping[str, str]
    layers: Sequence[str]
    answers: Sequence[Answer]


def drawn(sheet: Sheet) -> Figure:
    """Draw the figure, with one block of rows per question."""
    page = Page()
    left, cell = places(len(sheet.layers), SIDE, LARGEST)
    header(page, left, 0.02, cell, sheet)
    top = 0.02 + HEADER
    for answer in sheet.answers:
        below = aside(page, top, answer)
        top = max(below, block(page, left, top, cell, sheet, answer)) + 0.08
    return page.ended(foot(page, top, sheet))


def header(page: Page, left: float, top: float, cell: float, sheet: Sheet) -> None:
    """Write the layers' names above their columns, grouped by encoder and decoder, and the sizes of
    their maps."""
    sizes = {
        name: "×".join(str(side) for side in found.shape)
        for answer in sheet.answers
        for maps in answer.maps.values()
        for name, found in maps.items()
    }
    ax = page.inches(left, top, cell * len(sheet.layers), HEADER)
    at = 0
    for stem, members in groupby(sheet.layers, lambda name: name.partition(".")[0]):
        end = at + len(list(members))
        edges = at * cell, (end - 1 + PANEL) * cell
        ax.text(sum(edges) / 2, 0.07, stem, fontsize=NORMAL, ha="center")
        ax.plot(edges, [0.1, 0.1], color=SOFT, linewidth=0.5)
        at = end
    for column, name in enumerate(sheet.layers):
        middle = (column + PANEL / 2) * cell
        ax.text(middle, 0.18, name.partition(".")[2] or "out", fontsize=NORMAL, ha="center")
        ax.text(middle, 0.265, sizes.get(name, ""), fontsize=SMALL, ha="center", color=SOFT)


def aside(page: Page, top: float, answer: Answer) -> float:
    """Draw the picture with both outlines, the question, and the whole prediction; return where
    they end."""
    ax = page.axes(MARGIN, top, SIDE, SIDE)
    panel(ax, answer.image)
    marked(ax, answer, 0.8)
    top += SIDE + 0.03
    asked = f"{spoken(answer.question.of)}: {answer.question.pixels}"
    top = page.paragraph(MARGIN, top, SIDE, asked, LARGE, centred=True, fontweight="bold")
    for words in (short(answer.picture), f"IoU {answer.iou:.2f}"):
        top = page.paragraph(MARGIN, top, SIDE, words, SMALL, centred=True, color=SOFT)
    return prediction(page, top + 0.03, answer)


def prediction(page: Page, top: float, answer: Answer) -> float:
    """Draw every pixel in the colour of its predicted class; return where it ends."""
    panel(page.axes(MARGIN, top, SIDE, SIDE), coloured(answer.predicted))
    return top + SIDE


def block(page: Page, left: float, top: float, cell: float, sheet: Sheet, answer: Answer) -> float:
    """Draw the flows of one question, one row per method, or why there are none; return where they
    end."""
    if answer.refused:
        return page.paragraph(left, top + 0.1, cell * len(sheet.layers), answer.refused, LARGE)
    for method, name in sheet.methods.items():
        named(page, left - 0.06, top + cell * PANEL / 2, name)
        row(page, left, top, cell, sheet.layers, answer, method)
        top += cell
        solved = solved_at(answer, method)
        if solved:
            residuals(page, left, top, cell, [solved.get(n, 0) for n in sheet.layers])
            top += NUMBERS
    return top


def named(page: Page, right: float, middle: float, name: str) -> None:
    """Write the name of a method, with its preset below."""
    title, _, preset = name.partition(" (")
    style = {"ha": "right", "va": "center"}
    page.text(right, middle - 0.04 * bool(preset), title, NORMAL, fontweight="bold", **style)
    page.text(right, middle + 0.045, f"({preset}" * bool(preset), SMALL, color=SOFT, **style)


def row(
    page: Page,
    left: float,
    top: float,
    cell: float,
    layers: Sequence[str],
    answer: Answer,
    method: str,
) -> None:
    """Draw one flow: each map over the picture with both outlines; a dash without a map."""
    ax = page.axes(left, top, cell * len(layers), cell * PANEL)
    for column, name in enumerate(layers):
        if name not in answer.maps[method]:
            ax.text(column + PANEL / 2, 0.5, "–", ha="center", va="center", color=SOFT)
            continue
        extent = (column, column + PANEL, 0, 1)
        found = overlay(answer.image, answer.maps[method][name])
        ax.imshow(found, extent=extent, interpolation="antialiased")
        marked(ax, answer, 0.4, column)
    ax.set(xlim=(0, len(layers)), ylim=(0, 1), aspect="auto")
    ax.set_axis_off()


def solved_at(answer: Answer, method: str) -> dict[str, float]:
    """Return the residuals at layers where a unit ends, and not inside a block."""
    rules = answer.rules.get(method, {})
    return {
        name: value
        for name, value in answer.residuals.get(method, {}).items()
        if not rules[name].startswith("through ")
    }


def foot(page: Page, top: float, sheet: Sheet) -> float:
    """Draw what the colours of maps, outlines and classes mean; return where it ends."""
    bar = page.axes(MARGIN, top + 0.01, 0.6, 0.075)
    panel(bar, overlay(np.full((8, 120, 3), 0.55), np.linspace(0, 1, 120)[None]))
    bar.set_aspect("auto")
    left, room = MARGIN + 0.66, WIDTH - 2 * MARGIN - 0.66
    solved = any(answer.residuals.get(key) for answer in sheet.answers for key in sheet.methods)
    words = (
        f"Zero to the 99.5th percentile of each map.   {sheet.model}.   Black: predicted as the "
        "class.   Blue: the pixel set (a dot: one pixel)."
    ) + "   Small numbers: residual of the inverse." * solved
    top = page.paragraph(left, top, room, words, color=SOFT) + 0.02
    at = MARGIN
    for number in np.unique([answer.predicted for answer in sheet.answers]):
        name = spoken(sheet.classes[number])
        if at + 0.14 + 0.042 * len(name) > WIDTH - MARGIN:
            at, top = MARGIN, top + 0.11
        panel(page.axes(at, top + 0.005, 0.075, 0.075), np.full((2, 2, 3), colour(number)))
        page.text(at + 0.1, top, name, NORMAL)
        at += 0.18 + 0.042 * len(name)
    return top + 0.13
