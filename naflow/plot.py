"""Attention maps as pictures: scaling, overlays, and strips of a flow from shallow to deep.

Colour convention: every map has its own scale, so a panel shows WHERE its layer looked. Equal
colours in two panels do not mean equal values. The picture is drawn in pale grey. From zero to the
map's 99.5th percentile, yellow, orange and dark red cover it with growing opacity. A map finer than
the eye can resolve is smoothed first. A constant map is dark red everywhere; a map of zeros leaves
the picture grey. How this scale was chosen, and what it hides: docs/scale-of-maps.md.

All functions take and return numpy arrays; matplotlib is imported only when something is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np

from naflow.errors import BadInput

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = "YlOrRd"
TOP = 99.5  # percentile drawn as the maximum, so that a few bright cells do not set the scale
FINEST = 0.012  # standard deviation of the finest spot drawn, as a share of the picture's height
CONVENTION = (
    f"Each map, lightly smoothed ({100 * FINEST:g} % of the picture's side) where it is finer than "
    f"that, has its own scale, from zero (or its lowest values, if negative) in pale grey to its "
    f"{TOP:g}th percentile in dark red, so equal colours in two panels do not mean equal values."
)


def levels(attention: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Scale a map (h, w) to levels in [0, 1] on a picture of size (H, W); returns (H, W).

    0 is no attention, 1 the map's `TOP`th percentile or more. Raises BadInput for a map that is not
    two-dimensional or not finite.
    """
    drawn = smoothed(attention, size)
    low, high = limits(drawn)
    return np.clip((drawn - low) / (high - low), 0, 1) if high > low else np.zeros(size)


def limits(drawn: np.ndarray) -> tuple[float, float]:
    """Return the values of a smoothed map (H, W) at which its colour scale begins and ends."""
    bottom, top = np.percentile(drawn, [100 - TOP, TOP])
    low = min(0.0, float(bottom))
    return low, float(top) if top > low else float(drawn.max())


def smoothed(attention: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize a map (h, w) to (H, W), smoothed so that no spot is finer than `FINEST` of the height.

    Bilinear resizing blurs a cell with a variance of 1/6 of its side squared; a Gaussian before it
    adds the rest. So a map of at most 34 cells a side is only resized. Raises BadInput as `levels`
    does.
    """
    attention = np.asarray(attention, np.float64)
    if attention.ndim != 2:
        raise BadInput(f"a map has shape {attention.shape}: one map (h, w) at a time is drawn.")
    if not np.isfinite(attention).all():
        raise BadInput("the map holds NaN or infinity: it cannot be drawn.")
    for axis in (0, 1):
        finest = FINEST * size[0] * attention.shape[axis] / size[axis]  # in cells
        attention = _blurred(attention, max(0.0, finest**2 - 1 / 6), axis)
    return enlarged(attention, size)


def _blurred(values: np.ndarray, variance: float, axis: int) -> np.ndarray:
    """Blur with a Gaussian along one axis; variance in cells squared, edge values repeated."""
    reach = int(np.ceil(3 * np.sqrt(variance)))
    if not reach:
        return values
    steps = np.arange(-reach, reach + 1)
    weights = np.exp(-(steps**2) / (2 * variance))
    at = np.clip(np.arange(values.shape[axis])[:, None] + steps, 0, values.shape[axis] - 1)
    near = np.moveaxis(values, axis, -1)[..., at]
    return np.moveaxis(near @ (weights / weights.sum()), -1, axis)


def enlarged(attention: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize a map (h, w) bilinearly to (H, W): values at pixel centres, edge values repeated."""
    for axis, length in enumerate(size):
        old = attention.shape[axis]
        at = np.clip((np.arange(length) + 0.5) * old / length - 0.5, 0, old - 1)
        low = np.floor(at).astype(int)
        high = np.minimum(low + 1, old - 1)
        share = (at - low).reshape([-1 if a == axis else 1 for a in range(2)])
        attention = (
            np.take(attention, low, axis) * (1 - share) + np.take(attention, high, axis) * share
        )
    return attention


def overlay(
    image: np.ndarray, attention: np.ndarray, strength: float = 0.85, colours: str = COLOURS
) -> np.ndarray:
    """Draw a map (h, w) in colour over an image (H, W, 3) in [0, 1]; returns (H, W, 3) in [0, 1].

    The image becomes pale grey, so that every colour is the map's. `strength` is the opacity of the
    map's highest level; lower levels are more transparent. Raises BadInput for other shapes, and
    for a map that is not finite.
    """
    from matplotlib import colormaps

    image = np.asarray(image, np.float64)
    if image.ndim != 3 or image.shape[2] != 3:
        raise BadInput(f"the image has shape {image.shape}: (H, W, 3) is needed.")
    level = levels(attention, (image.shape[0], image.shape[1]))
    grey = 0.45 + 0.55 * (image @ [0.299, 0.587, 0.114])[..., None]
    # The square root lets weak but present attention show.
    cover = strength * np.sqrt(level)[..., None]
    return np.clip((1 - cover) * grey + cover * colormaps[colours](level)[..., :3], 0, 1)


def panel(ax: Axes, picture: np.ndarray, below: str = "") -> None:
    """Draw a picture (H, W, 3) without axes, with a small caption below."""
    ax.imshow(picture, interpolation="antialiased")
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_visible(False)
    if below:
        ax.set_xlabel(below, fontsize=6, labelpad=2)


def strip(
    axes: Sequence[Axes], image: np.ndarray, maps: Mapping[str, np.ndarray], name: str = ""
) -> None:
    """Draw one flow on a row of axes: one map (h, w) each, over the image (H, W, 3), with `name` on
    the left.

    Raises BadInput unless there is one axis for each map.
    """
    if len(axes) != len(maps):
        raise BadInput(f"{len(maps)} maps on {len(axes)} axes: one axis for each map is needed.")
    for ax, attention in zip(axes, maps.values(), strict=True):
        panel(ax, overlay(image, attention))
    axes[0].set_ylabel(name.replace(" (", "\n("), fontsize=6, labelpad=2)


def flow_figure(image: np.ndarray, flows: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """Draw a figure of one image (H, W, 3) in [0, 1]: one row per method, one column per layer,
    shallow to deep, and below them what the colours mean.

    flows  method -> layer -> map (h, w); every method has the same layers
    """
    from matplotlib.figure import Figure

    layers = list(next(iter(flows.values())))
    wide, tall = 0.8 * len(layers), 0.72 * image.shape[0] / image.shape[1] + 0.06
    words = wrap(CONVENTION, max(20, int(24 * wide)))  # letters of 5 points
    size = (wide, 0.2 + tall * len(flows) + 0.09 * len(words))
    figure = Figure(figsize=size, layout="constrained")
    figure.supxlabel("\n".join(words), fontsize=5, color="0.35")
    grid = figure.subplots(len(flows), len(layers), squeeze=False)
    for axes, (method, maps) in zip(grid, flows.items(), strict=True):
        strip(axes, image, maps, method)
    for ax, layer in zip(grid[0], layers, strict=True):
        ax.set_title(layer, fontsize=6)
    return figure


def save(figure: Figure, path: str | Path, dpi: int = 160) -> None:
    """Write a figure as .png, .pdf or .svg; the same figure always gives the same bytes.

    Raises BadInput for another suffix.
    """
    from matplotlib import rc_context

    ending = str(path).rsplit(".", 1)[-1]
    dates = {"png": {"Software": None}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}
    if ending not in dates:
        raise BadInput(f"{path}: a figure can be written as .png, .pdf or .svg.")
    content = BytesIO()  # on a full disk, matplotlib's PDF writer fails with an unrelated error
    with rc_context({"svg.hashsalt": "naflow", "pdf.fonttype": 42}):
        figure.savefig(content, format=ending, dpi=dpi, metadata=dates[ending])
    Path(path).write_bytes(content.getvalue())
