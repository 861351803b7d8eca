"""Write overlays, strips and rows of them as PNG files; the same input gives the same bytes."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from naflow import plot

_ACROSS = 13  # most panels in a row: a photo and the blocks of a network
_PANEL = 1.1  # inches
_WORD = 22  # letters that fit below a panel
_GAP = 0.02  # inches, around a panel
_LETTER, _LINE = 0.052, 0.115  # inches, width and height of the smallest letters

Row = tuple[str, np.ndarray, Mapping[str, np.ndarray]]


def png(path: Path, picture: np.ndarray) -> None:
    """Write a picture (H, W, 3) in [0, 1] as a PNG file."""
    from PIL import Image

    Image.fromarray((picture * 255).round().astype(np.uint8)).save(path, "png")


def strip(
    path: Path, image: np.ndarray, overlays: Mapping[str, np.ndarray], title: str, below: str = ""
) -> None:
    """Write the image (H, W, 3) in [0, 1] and its overlays, shallow to deep, in rows of equal
    length. Every panel has its layer's name below; `below` is the caption of the whole picture."""
    panels = {"input": image, **overlays}
    number = -(-len(panels) // _ACROSS)
    across = -(-len(panels) // number)
    words = list(panels)
    rows = [words[at : at + across] for at in range(0, len(words), across)]
    _write(
        path,
        [[(panels[word], _folded(word)) for word in row] for row in rows],
        title=title,
        below=below,
        tall=_PANEL + 0.25,
    )


def rows(path: Path, drawn: Sequence[Row], title: str, below: str = "", dpi: int = 160) -> None:
    """Write one row for each (name, image, overlays). Layers' names are below the last of
    successive rows with the same layers; `below` is the caption of the whole picture."""
    layers = [list(overlays) for _, _, overlays in drawn]
    panels = []
    for at, (_, image, overlays) in enumerate(drawn):
        last = at + 1 == len(drawn) or layers[at + 1] != layers[at]
        row = {"input": image, **overlays}
        panels.append([(panel, _folded(word) if last else "") for word, panel in row.items()])
    names = [name for name, _, _ in drawn]
    _write(path, panels, names, title, below, dpi=dpi)


def _write(
    path: Path,
    panels: Sequence[Sequence[tuple[np.ndarray, str]]],
    names: Sequence[str] = (),
    title: str = "",
    below: str = "",
    tall: float = _PANEL,
    dpi: int = 160,
) -> None:
    """Write rows of panels, each with a caption: `names` of the rows, a title, and a caption
    `below` all."""
    from matplotlib import style
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    across = max(map(len, panels))
    wide = max(_PANEL * across + 0.9 * bool(names), 4)
    lines = [
        line for part in below.splitlines() for line in textwrap.wrap(part, int(wide / _LETTER))
    ]
    heights = [tall * min(1, _aspect(row[0][0])) + 0.05 for row in panels]
    with style.context("default"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a name in letters that the font lacks
        size = (wide, sum(heights) + 0.3 + 0.2 * bool(names) + _LINE * len(lines))
        figure = Figure(
            figsize=size, layout=ConstrainedLayoutEngine(w_pad=_GAP, h_pad=_GAP, wspace=0, hspace=0)
        )
        figure.suptitle(title, fontsize=8, x=0.01, ha="left", parse_math=False)
        if lines:
            figure.supxlabel(
                "\n".join(lines), fontsize=6, x=0.01, ha="left", color="0.35", parse_math=False
            )
        grid = figure.subplots(len(panels), across, squeeze=False, height_ratios=heights)
        for at, (axes, row) in enumerate(zip(grid, panels, strict=True)):
            for ax, (picture, word) in zip(axes, row, strict=False):
                plot.panel(ax, picture, below=word)
            for ax in axes[len(row) :]:
                ax.set_axis_off()
            if names:
                axes[0].set_ylabel(
                    "\n".join(textwrap.wrap(names[at], 16)),
                    fontsize=7,
                    rotation=0,
                    ha="right",
                    va="center",
                    parse_math=False,
                )
        plot.save(figure, path, dpi)


def _aspect(picture: np.ndarray) -> float:
    return picture.shape[0] / picture.shape[1]


def _folded(layer: str) -> str:
    """Break a layer's name at its dots into lines that fit below a panel."""
    lines = [""]
    for part in layer.replace(".", ".\0").split("\0"):
        if lines[-1] and len(lines[-1] + part) > _WORD:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)
