"""Draw a small network neuron by neuron, its layers from left to right."""

from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.patches import Circle, Rectangle

from naflow.plot import COLOURS
from pipeline.figures.page import NORMAL, SMALL, SOFT, WIDTH, Page
from pipeline.figures.small_network import Example, Layer

CELL, PITCH, LOW = (0.15, 0.09), 0.1, 0.06  # inches: a cell; from neuron to neuron; in the maps
LEFT, RIGHT, HEAD, GAP = 0.8, 0.44, 0.4, 0.16  # inches left, right, above the layers; between them
SIGNED, WEIGHTS = "RdBu_r", "PiYG_r"
INK, PALE = "0.3", "0.85"
NAMES = {  # layer -> its operation, and its settings
    "input": ("signal", ""),
    "conv1": ("convolution", "3 wide"),
    "relu1": ("ReLU", ""),
    "pool": ("max pool", "3 wide, step 2"),
    "conv2": ("convolution", "3 wide"),
    "relu2": ("ReLU", ""),
}


def diagram(page: Page, top: float, example: Example) -> float:
    """Draw the channels below each other, then the attention maps, then the counts; return where it
    ends, in inches.

    Every neuron is a row of cells x, alpha, x~; an abandoned one has only x and a cross.
    """
    block, low = (len(example.layers[0].places) * pitch for pitch in (PITCH, LOW))
    channels = HEAD, HEAD + block + GAP
    maps = channels[1] + block + GAP
    ax = page.inches(0, top, WIDTH, maps + low + 0.38)
    widths = [_width(layer) for layer in example.layers]
    gap = (WIDTH - LEFT - RIGHT - sum(widths)) / len(widths)
    lefts = [LEFT + sum(widths[:n]) + gap * n for n in range(len(widths))]
    middle = (HEAD + channels[1] + block) / 2
    spots = [
        _spots(layer, left, channels if len(layer.activation) > 1 else (middle - block / 2,))
        for layer, left in zip(example.layers, lefts, strict=True)
    ]
    tips = np.array([[WIDTH - RIGHT, middle]])
    for layer, here, above in zip(example.layers, spots, [*spots[1:], tips], strict=True):
        _connections(ax, layer, here, above)
    for layer, here, left in zip(example.layers, spots, lefts, strict=True):
        _head(ax, layer, left)
        _neurons(ax, layer, here)
        _attention(ax, layer, left, maps)
        _counts(ax, layer, left, maps + low + 0.14)
    _score(ax, WIDTH - RIGHT + 0.12, middle, example.score)
    for words, at in (
        ("forward →  $x$", HEAD - 0.14),
        (r"backward ←  $\alpha$, $\tilde{x}$", HEAD - 0.05),
        ("channel 1", channels[0] + block / 2),
        ("channel 2", channels[1] + block / 2),
        ("attention\nmap $M$", maps + low / 2),
        ("neurons used", maps + low + 0.14),
        ("neuron-times", maps + low + 0.25),
    ):
        ax.text(0.03, at, words, fontsize=NORMAL, va="center", linespacing=1.15)
    for at in (maps - GAP / 2, maps + low + 0.06):
        ax.plot([0.03, WIDTH - 0.03], [at, at], color="0.85", linewidth=0.5)
    _legend(page, top + maps + low + 0.36)
    return top + maps + low + 0.46


def _cells(layer: Layer) -> int:
    return 2 if layer.bpfm is None else 3


def _width(layer: Layer) -> float:
    return _cells(layer) * CELL[0]


def _spots(layer: Layer, left: float, starts: tuple[float, ...]) -> np.ndarray:
    """Return the left middle point of every neuron, (n, 2)."""
    return np.array([(left, start + PITCH * (at + 0.5)) for start in starts for at in layer.places])


def _connections(ax: Axes, layer: Layer, here: np.ndarray, above: np.ndarray) -> None:
    """Draw the connections: pale if an end is abandoned, dark if both are used."""
    unused = layer.use.connections & ~layer.use.uses
    for wanted, colour, width in ((unused, PALE, 0.35), (layer.use.uses, INK, 0.5)):
        lines = [
            (here[i] + (_width(layer) + 0.015, 0), above[j] - (0.015, 0))
            for j, i in wanted.nonzero().tolist()
        ]
        ax.add_collection(LineCollection(lines, colors=colour, linewidths=width))


def _head(ax: Axes, layer: Layer, left: float) -> None:
    title, setting = NAMES[layer.use.name]
    middle = left + _width(layer) / 2
    _text(ax, middle, 0.06, title, fontweight="bold")
    _text(ax, middle, 0.16, setting, fontsize=SMALL, color=SOFT)
    for column, name in enumerate(("$x$", r"$\alpha$", r"$\tilde{x}$")[: _cells(layer)]):
        _text(ax, left + (column + 0.5) * CELL[0], HEAD - 0.08, name)


def _neurons(ax: Axes, layer: Layer, spots: np.ndarray) -> None:
    x, alpha = layer.activation.flatten().numpy(), layer.importance.flatten().numpy()
    bpfm = np.zeros_like(x) if layer.bpfm is None else layer.bpfm.flatten().numpy()
    largest = max(abs(x).max(), abs(bpfm).max())  # so that the colours of x and x~ are comparable
    columns = [(SIGNED, x / largest), (WEIGHTS, alpha / abs(alpha).max()), (SIGNED, bpfm / largest)]
    for n, (left, middle) in enumerate(spots):
        used = bool(layer.use.used[n])
        for column, (colours, values) in enumerate(columns[: _cells(layer) if used else 1]):
            colour = colormaps[colours](0.5 + 0.45 * values[n])
            _box(ax, left + column * CELL[0], middle, CELL, fc=colour, lw=0, zorder=3)
        if not used:
            ax.plot(left + 1.5 * CELL[0], middle, "x", color="0.5", ms=2.4, mew=0.5, zorder=4)
        edge = {"ec": "black", "lw": 0.5} if used else {"ec": "0.75", "lw": 0.35}
        _box(ax, left, middle, (_width(layer), CELL[1]), fc="none", zorder=5, **edge)


def _attention(ax: Axes, layer: Layer, left: float, top: float) -> None:
    if layer.attention is None:
        return
    values = layer.attention.flatten().numpy()
    size = _width(layer), LOW * (layer.places[1] - layer.places[0])
    for at, value in zip(layer.places, values, strict=True):
        colour = colormaps[COLOURS](value / values.max())
        _box(ax, left, top + LOW * (at + 0.5), size, fc=colour, ec="white", lw=0.4)
    middle = top + LOW * (layer.places[0] + layer.places[-1] + 1) / 2
    whole = size[0], size[1] * len(values)
    _box(ax, left, middle, whole, fc="none", ec="black", lw=0.5, zorder=5)


def _box(ax: Axes, left: float, middle: float, size: tuple[float, float], **style: Any) -> None:
    ax.add_patch(Rectangle((left, middle - size[1] / 2), *size, **style))


def _text(ax: Axes, middle: float, at: float, words: str, **style: Any) -> None:
    """Write text centred at a point."""
    style = {"fontsize": NORMAL, "ha": "center", "va": "center"} | style
    ax.text(middle, at, words, **style)


def _counts(ax: Axes, layer: Layer, left: float, top: float) -> None:
    counts, middle = layer.use.counts, left + _width(layer) / 2
    used = f"{counts['used']} of {counts['neurons']}"
    _text(ax, middle, top, used, fontweight="bold")
    _text(ax, middle, top + 0.11, str(counts["times"]), fontweight="bold")


def _score(ax: Axes, left: float, middle: float, value: float) -> None:
    ax.add_patch(Circle((left, middle), 0.12, fc="white", ec="black", lw=0.6, zorder=5))
    _text(ax, left, middle, "$S$", fontsize=7, zorder=6)
    _text(ax, left, middle + 0.19, f"{value:.2f}", color=SOFT)
    _text(ax, left, 0.06, "class logit", fontweight="bold")
    _text(ax, left, 0.16, "mean, linear", fontsize=SMALL, color=SOFT)


def _legend(page: Page, top: float) -> None:
    for left, colours, low, words in (
        (0.03, SIGNED, "-", r"activation $x$, back-propagated $\tilde{x}$ (0 is white)"),
        (2.42, WEIGHTS, "-", r"importance $\alpha$"),
        (3.78, COLOURS, "0", "$M$"),
    ):
        bar = page.axes(left + 0.08, top + 0.01, 0.42, 0.07)
        ends = (0, 1) if low == "0" else (0.05, 0.95)
        bar.imshow(colormaps[colours](np.linspace(*ends, 100))[None], aspect="auto")
        bar.set_axis_off()
        page.text(left, top, low.replace("-", "−"), color=SOFT)
        page.text(left + 0.53, top, f"+  {words}", color=SOFT)
    ax = page.inches(4.7, top, 2.4, 0.09)
    ax.plot(0.05, 0.045, "x", color="0.5", ms=2.4, mew=0.5)
    ax.plot([0.68, 0.86], [0.045] * 2, color=INK, linewidth=0.7)
    ax.plot([1.62, 1.8], [0.045] * 2, color=PALE, linewidth=0.7)
    for left, words in ((0.12, "abandoned"), (0.91, "used connection"), (1.85, "unused")):
        page.text(4.7 + left, top, words, color=SOFT)
