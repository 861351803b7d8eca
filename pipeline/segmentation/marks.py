"""Marks on pictures: outlines of region and pixel set, and colours of classes."""

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes

from pipeline.figures.panels import PANEL, outline
from pipeline.segmentation.answers import Answer

SET = "#0072b2"  # outline of the pixel set; that of the predicted class is black
BACKGROUND = (0.9, 0.9, 0.9)


def marked(ax: Axes, answer: Answer, width: float, column: int | None = None) -> None:
    """Draw the outlines of the predicted class and of the pixel set; a set of one pixel is a
    dot."""
    outline(ax, answer.region, width, column)
    rows, columns = np.nonzero(answer.pixels)
    if len(rows) == 1:
        x, y = float(columns[0]), float(rows[0])
        if column is not None:
            height, length = answer.pixels.shape
            x, y = column + PANEL * (x + 0.5) / length, 1 - (y + 0.5) / height
        ax.plot(
            [x],
            [y],
            "o",
            color=SET,
            markersize=3 * width,
            markeredgecolor="white",
            markeredgewidth=0.3,
        )
    elif not answer.pixels.all():
        edge(ax, answer.pixels, width, column)


def edge(ax: Axes, mask: np.ndarray, width: float, column: int | None) -> None:
    """Draw the pixel set's outline, closed along the picture's border."""
    if not mask.any():
        return
    height, length = mask.shape
    x, y = np.arange(-1, length + 1) * 1.0, np.arange(-1, height + 1) * 1.0
    if column is not None:
        x, y = column + PANEL * (x + 0.5) / length, 1 - (y + 0.5) / height
    ax.contour(x, y, np.pad(mask, 1), levels=[0.5], colors=SET, linewidths=width)


def coloured(numbers: np.ndarray) -> np.ndarray:
    """Return class numbers (H, W) as colours (H, W, 3): class 0 is pale grey."""
    table = np.array([BACKGROUND, *(colour(n) for n in range(1, 256))])
    return table[numbers]


def colour(number: int) -> tuple[float, ...]:
    """Return the colour of a class; colours repeat after twenty classes."""
    return BACKGROUND if number == 0 else colormaps["tab20"]((number - 1) % 20)[:3]
