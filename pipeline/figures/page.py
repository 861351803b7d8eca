"""A figure as wide as a page, with positions in inches from its top left corner.

Its height is set last, so nothing has to be measured before it is drawn.
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
SOFT = "0.35"  # grey of secondary text
LETTER = {"normal": 0.0072, "bold": 0.0087}  # width of a letter, in inches per point of size
LEADING = 0.0165  # distance of lines, in inches per point of size
DPI = {"png": 160, "pdf": 300}  # in a PDF, only of rasters


def publish(figure: Figure, place: Path) -> None:
    """Write a figure as PNG and PDF; `place` is its path without suffix."""
    for ending, dpi in DPI.items():
        with replacing(place.with_suffix(f".{ending}")) as partial:
            plot.save(figure, partial, dpi)


class Page:
    """A page being drawn: its axes and texts, with their positions."""

    def __init__(self) -> None:
        self.figure = Figure(figsize=(WIDTH, 1))
        self._axes: list[tuple[Axes, tuple[float, float, float, float]]] = []
        self._texts: list[tuple[Text, tuple[float, float]]] = []

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Add axes at this position."""
        ax = self.figure.add_axes((0, 0, 1, 1), label=str(len(self._axes)))
        self._axes.append((ax, (left, top, width, height)))
        return ax

    def inches(self, left: float, top: float, width: float, height: float) -> Axes:
        """Add axes without a frame whose coordinates are inches, y downwards."""
        ax = self.axes(left, top, width, height)
        ax.set(xlim=(0, width), ylim=(height, 0))
        ax.set_axis_off()
        return ax

    def text(self, left: float, top: float, words: str, size: float = NORMAL, **style: Any) -> None:
        """Write one line of text that begins at `left`, or ends or is centred there (ha=...)."""
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
        """Write text in lines of `width`; return where it ends."""
        at = left + width / 2 if centred else left
        letter = LETTER[style.get("fontweight", "normal")] * size
        for line in wrap(words, max(1, int(width / letter))):
            self.text(at, top, line, size, ha="center" if centred else "left", **style)
            top += LEADING * size
        return top

    def ended(self, height: float) -> Figure:
        """Return the figure, `height` inches high."""
        self.figure.set_size_inches(WIDTH, height)
        for ax, (left, top, width, tall) in self._axes:
            ax.set_position((left / WIDTH, 1 - (top + tall) / height, width / WIDTH, tall / height))
        for text, (left, top) in self._texts:
            text.set_position((left / WIDTH, 1 - top / height))
        return self.figure


def framed(ax: Axes, *sides: str) -> None:
    """Draw thin axes with small numbers on these sides only."""
    ax.tick_params(labelsize=SMALL, length=2, width=0.5, pad=1)
    for side, spine in ax.spines.items():
        spine.set(visible=side in sides, linewidth=0.5)
