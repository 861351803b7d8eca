"""Overlays and strips as PNG files; the same input gives the same bytes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from naflow import plot

_ACROSS = 11  # panels in a row, at most
_PANEL = 1.1  # inches
_WORD = 22  # letters that fit below a panel


def png(path: Path, picture: np.ndarray) -> None:
    """Write (H, W, 3) in [0, 1] as a PNG file."""
    from PIL import Image

    Image.fromarray((picture * 255).round().astype(np.uint8)).save(path, "png")


def strip(path: Path, image: np.ndarray, overlays: Mapping[str, np.ndarray], title: str) -> None:
    """Write the image (H, W, 3) in [0, 1] and its overlays, shallow to deep, in rows of equal
    length, every panel with its layer's name below."""
    from matplotlib import style
    from matplotlib.figure import Figure

    panels = {"input": image, **overlays}
    rows = -(-len(panels) // _ACROSS)
    across = -(-len(panels) // rows)
    with style.context("default"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a name in letters that the font lacks
        size = (max(_PANEL * across, 4), (_PANEL + 0.25) * rows + 0.3)
        figure = Figure(figsize=size, layout="constrained")
        figure.suptitle(title, fontsize=8, x=0.01, ha="left", parse_math=False)
        axes = figure.subplots(rows, across, squeeze=False).flatten()
        for ax, (layer, picture) in zip(axes, panels.items(), strict=False):
            plot.panel(ax, picture, below=_folded(layer))
        for ax in axes[len(panels) :]:
            ax.set_axis_off()
        plot.save(figure, path)


def _folded(layer: str) -> str:
    """The name in lines that fit below a panel, broken at its dots."""
    lines = [""]
    for part in layer.replace(".", ".\0").split("\0"):
        if lines[-1] and len(lines[-1] + part) > _WORD:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)
