"""A figure of a page's width, whose places are inches from its top left corner.

Its height is known last, so that what is drawn need not be measured before.
"""

from pathlib import Path
from textwrap import wrap
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from naflow import plot
from pipeline.atomic import replacing

WIDTH = 7.16  # inches: both columns of IEEE Transactions
SMALL, NORMAL, LARGE = 5.0, 5.5, 6.5  # points, as printed
SOFT = "0.35"  # grey of what is said beside
LETTER = 0.0072  # inches of a letter's width for each point, on average
LEADING = 0.0165  # inches from line to line for each point
DPI = {"png": 160, "pdf": 300}  # of what is no line or letter


def publish(figure: Figure, place: Path) -> None:
    """Write a figure as PNG and PDF; `place` is its path without the ending."""
    for ending, dpi in DPI.items():
        with replacing(place.with_suffix(f".{ending}")) as partial:
            plot.save(figure, partial, dpi)


class Page:
    """What was drawn so far, and where."""

    def __init__(self) -> None:
        self.figure = Figure(figsize=(WIDTH, 1))
        self._axes: list[tuple[Axes, tuple[float, float, float, float]]] = []
        self._texts: list[tuple[Text, tuple[float, float]]] = []

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """A place to draw in."""
        ax = self.figure.add_axes((0, 0, 1, 1), label=str(len(self._axes)))
        self._axes.append((ax, (left, top, width, height)))
        return ax

    def inches(self, left: float, top: float, width: float, height: float) -> Axes:
        """A place without a frame whose coordinates are inches, y downwards."""
        ax = self.axes(left, top, width, height)
        ax.set(xlim=(0, width), ylim=(height, 0))
        ax.set_axis_off()
        return ax

    def text(self, left: float, top: float, words: str, size: float = NORMAL, **style: Any) -> None:
        """One line of words that begins at `left`, or ends or is centred there (ha=...)."""
        style.setdefault("va", "top")
        line = self.figure.text(0, 0, words, fontsize=size, **style)
        self._texts.append((line, (left, top)))

    def paragraph(
        self,
        left: float,
        top: float,
        width: float,
        words: str,
        size: float = NORMAL,
        centred: bool = False,
        **style: Any,
    ) -> float:
        """Words broken into lines of `width`; returns where they end."""
        at = left + width / 2 if centred else left
        for line in wrap(words, max(1, int(width / (LETTER * size)))):
            self.text(at, top, line, size, ha="center" if centred else "left", **style)
            top += LEADING * size
        return top

    def ended(self, height: float) -> Figure:
        """The figure, `height` inches high."""
        self.figure.set_size_inches(WIDTH, height)
        for ax, (left, top, width, tall) in self._axes:
            ax.set_position((left / WIDTH, 1 - (top + tall) / height, width / WIDTH, tall / height))
        for text, (left, top) in self._texts:
            text.set_position((left / WIDTH, 1 - top / height))
        return self.figure


def framed(ax: Axes, *sides: str) -> None:
    """Thin axes on these sides alone, with small numbers."""
    ax.tick_params(labelsize=SMALL, length=2, width=0.5, pad=1)
    for side, spine in ax.spines.items():
        spine.set(visible=side in sides, linewidth=0.5)
