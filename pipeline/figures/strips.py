"""Strips: for each picture one row a method, one column a layer, shallow to deep.

Every word comes from the files of maps: layers, classes, predictions, residuals, settings.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec

from naflow.errors import BadInput, near_names
from naflow.plot import panel, strip
from pipeline.images import Folder
from pipeline.maps import Maps, load
from pipeline.pixels import Pixels, read

CELL = 0.61  # inches: nine layers and a picture make a page's width
LEFT, TOP, BOTTOM, GAP = 0.2, 0.3, 0.22, 0.16  # inches around and between the blocks
PICTURE = 1.9  # width of a picture, in cells


def draw(
    folder: Path,
    images: Folder,
    model: str,
    methods: Sequence[str],
    layers: Sequence[str],
    pictures: int | Sequence[str],
) -> Figure:
    """The figure for `model` under every method.

    layers    names, shallow to deep; "all" as the only one means every layer of the flow
    pictures  how many (the first ones explained), or the ids wanted

    Raises BadInput for maps that are not there, and for layers and ids the maps do not have.
    """
    found = {method: load(folder / method / model) for method in methods}
    first = next(iter(found.values()))
    differing = [method for method, maps in found.items() if maps.ids != first.ids]
    if differing:
        raise BadInput(
            f"{folder}: the maps of {differing[0]} are of other pictures. "
            "Make them again: dvc repro."
        )
    names = (
        first.manifest["layers"]
        if list(layers) == ["all"]
        else _known(layers, first.manifest["layers"], "layer")
    )
    ids = (
        first.ids[:pictures]
        if isinstance(pictures, int)
        else _known(pictures, first.ids, "picture")
    )
    of_id = {picture.id: picture for picture in images.pictures}
    shown = first.manifest["settings"]["model"]["input"]
    pixels = read(
        [of_id[key] for key in _known(ids, of_id, "picture")],
        images.classes,
        shown["size"],
        shown["fit"],
        quiet=True,
    )

    height = len(ids) * (len(found) * CELL + GAP) - GAP
    inches = LEFT + (PICTURE + 0.4 + len(names)) * CELL, TOP + height + BOTTOM
    figure = Figure(figsize=inches)
    for number, key in enumerate(ids):
        top = TOP + number * (len(found) * CELL + GAP)
        grid = figure.add_gridspec(
            len(found),
            len(names) + 2,
            width_ratios=[PICTURE, 0.4, *[1] * len(names)],
            left=LEFT / inches[0],
            right=1 - 0.02 / inches[0],
            top=1 - top / inches[1],
            bottom=1 - (top + len(found) * CELL) / inches[1],
            wspace=0.05,
            hspace=0.05,
        )
        _block(figure, grid, found, first.ids.index(key), pixels, number, names, titled=number == 0)
    figure.text(
        0.5, 0.06 / inches[1], _caption(found, model), fontsize=6, ha="center", color="0.35"
    )
    return figure


def _block(
    figure: Figure,
    grid: GridSpec,
    found: dict[str, Maps],
    row: int,
    pixels: Pixels,
    number: int,
    names: list[str],
    titled: bool,
) -> None:
    """One picture: itself on the left, its strips on the right."""
    image = pixels.images[number].permute(1, 2, 0).numpy() / 255
    maps = next(iter(found.values()))
    ax = figure.add_subplot(grid[:, 0])
    panel(ax, image)
    if pixels.masks[number].any():
        ax.contour(pixels.masks[number].numpy(), levels=[0.5], colors="black", linewidths=0.5)
    predicted = maps.manifest["classes"][maps.prediction[row]].split(",")[0]  # first of synonyms
    ax.set_title(maps.labels[row].replace("_", " "), fontsize=8, pad=3, fontweight="bold")
    ax.set_xlabel(
        f"predicted {predicted}, {100 * maps.confidence[row]:.1f} %", fontsize=6, labelpad=3
    )
    for line, method in enumerate(found.values()):
        axes = [figure.add_subplot(grid[line, column + 2]) for column in range(len(names))]
        strip(
            axes, image, {name: method.maps[name][row] for name in names}, method.manifest["method"]
        )
        for ax, name in zip(axes, names, strict=True):
            if name in method.stats:
                _residual(ax, method.stats[name]["residual"][row])
            if titled and line == 0:
                side = "×".join(str(n) for n in method.maps[name].shape[1:])
                ax.set_title(f"{name}\n{side}", fontsize=6, pad=2)


def _residual(ax: Axes, residual: float) -> None:
    """The relative residual of the inverse, small in the panel's corner; none where it is 0."""
    if residual > 0:
        ax.text(
            0.97,
            0.03,
            f"{residual:.2f}",
            transform=ax.transAxes,
            fontsize=4,
            color="0.25",
            ha="right",
            va="bottom",
        )


def _caption(found: dict[str, Maps], model: str) -> str:
    maps = next(iter(found.values()))
    numbers = (
        " Numbers: relative residual of the inverse."
        if any(m.stats for m in found.values())
        else ""
    )
    images = maps.manifest["settings"]["images"]["name"]
    return (
        f"{model} on {images}. Each map is scaled by its own range "
        f"(pale: minimum, dark red: maximum).{numbers}"
    )


def _known(wanted: Sequence[str], known: Iterable[str], what: str) -> list[str]:
    for name in wanted:
        if name not in known:
            raise BadInput(
                f"conf/figures.yaml: the maps have no {what} {name!r}.{near_names(name, known)}"
            )
    return list(wanted)
