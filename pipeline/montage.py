"""Stage `montage`: draw every method at every layer of one model, on one page.

    python -m pipeline.explain -m 'method=glob(*)' explain.pictures=2 results=results/montage
    python -m pipeline.montage results=results/montage

Look at this picture after changing the code of a method. Draws all finished maps of the model,
which must be of the same pictures, as figures/montage.png.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from omegaconf import DictConfig

from naflow import plot
from naflow.errors import BadInput
from naflow.methods import ordered
from pipeline.app import stage
from pipeline.atomic import replacing
from pipeline.explanations import maps
from pipeline.explanations.maps import Maps
from pipeline.figures.page import DPI, LARGE, NORMAL, SMALL, SOFT, WIDTH, Page
from pipeline.figures.panels import MARGIN, PANEL, labelled, outline, picture, short
from pipeline.judging.selection import Selection
from pipeline.material.extent import extent
from pipeline.material.view import Material, View
from pipeline.pictures.labels import spoken

LABEL, HEADER, SIDE = 0.98, 0.9, 0.45  # inches for names of methods, names of layers, a picture


@stage
def main(cfg: DictConfig) -> None:
    """Draw."""
    montage(cfg)


def montage(cfg: DictConfig) -> Path:
    """Draw the maps of `cfg.model`; return the PNG's path.

    Raises BadInput if there are no maps, or a method lacks a picture that another has.
    """
    folder = Path(cfg.results) / "maps" / cfg.model.name
    methods = [path.parent.name for path in folder.glob("*/manifest.json")]
    if not methods:
        raise BadInput(
            f"{folder} holds no finished maps. Make them: "
            f"python -m pipeline.explain -m 'method=glob(*)' results={cfg.results}."
        )
    path = Path(cfg.drawings) / "montage.png"
    figure = draw({method: maps.load(folder / method) for method in ordered(methods)})
    with replacing(path) as partial:
        plot.save(figure, partial, DPI["png"])
    return path


def draw(found: Mapping[str, Maps]) -> Figure:
    """Draw one row per method and picture, one column per layer; blank if a method has no map.

    found  method -> maps of one model

    Raises BadInput if they are not of the same pictures.
    """
    first = next(iter(found.values()))
    model = first.manifest["model"]
    material = Material(Selection("montage", model, "", True, ()), found, found)
    views = [material.view(case) for case in first.cases]
    names = columns(found)
    left, cell = MARGIN + LABEL, (WIDTH - 2 * MARGIN - LABEL) / len(names)
    page = Page()
    for number, view in enumerate(views):
        picture(page, MARGIN + number * (SIDE + 0.05), 0.03, SIDE, view)
    header(page, left, cell, found, names)
    top = HEADER
    for method, of_method in found.items():
        middle = top + cell * len(views) / 2
        labelled(page, left - 0.05, middle, method, of_method)
        for view in views:
            row(page, left, top, cell, view, method, names)
            top += cell
        top += 0.03
    return page.ended(foot(page, top + 0.02, found, views))


def columns(found: Mapping[str, Maps]) -> list[str]:
    """Return every layer that some method has; layers that the longest flow lacks come first."""
    flows = [list(of_method.maps) for of_method in found.values()]
    longest = max(flows, key=len)
    return list(dict.fromkeys([n for flow in flows for n in flow if n not in longest] + longest))


def header(
    page: Page, left: float, cell: float, found: Mapping[str, Maps], names: Sequence[str]
) -> None:
    """Write the names of layers and the sizes of their maps, rotated, above their columns."""
    sizes = {
        name: m.shape[1:] for of_method in found.values() for name, m in of_method.maps.items()
    }
    for number, name in enumerate(names):
        middle = left + (number + PANEL / 2) * cell
        upright: dict[str, Any] = {"rotation": 90, "ha": "center", "va": "bottom"}
        page.text(middle, HEADER - 0.38, name, **upright)
        size = "×".join(map(str, sizes[name]))
        page.text(middle, HEADER - 0.03, size, SMALL, color=SOFT, **upright)


def row(
    page: Page, left: float, top: float, cell: float, view: View, method: str, names: Sequence[str]
) -> None:
    """Draw a method's maps, each over the picture, with the object's outline."""
    ax = page.axes(left, top, cell * len(names), cell * PANEL)
    for column, name in enumerate(names):
        if name in view.maps[method]:
            drawn = plot.overlay(view.picture, view.maps[method][name])
            ax.imshow(drawn, extent=(column, column + PANEL, 0, 1), interpolation="antialiased")
            outline(ax, extent(view), 0.3, column)
    ax.set(xlim=(0, len(names)), ylim=(0, 1), aspect="auto")
    ax.set_axis_off()


def foot(page: Page, top: float, found: Mapping[str, Maps], views: Sequence[View]) -> float:
    """Write the caption: pictures, settings and colours; return where it ends, in inches."""
    manifest = next(iter(found.values())).manifest
    size = manifest["settings"]["model"]["input"]["size"]
    room = WIDTH - 2 * MARGIN
    page.text(MARGIN, top, f"Every method at every layer of {manifest['model']}", LARGE)
    top += 0.13
    shown = [f"{short(view.case.picture)}, {answer(view)} {view.confidence:.3f}" for view in views]
    words = [
        f"Pictures, {size}×{size} px: {'; '.join(shown)}.",
        settings(found),
        "Blank: the method has no map there. Pale grey all over: the map is zero everywhere. "
        "Null hyp.: what an inverse that adds nothing would show.",
        plot.CONVENTION,
    ]
    for paragraph in filter(None, words):
        top = page.paragraph(MARGIN, top, room, paragraph, NORMAL, color=SOFT)
    return top + 0.03


def answer(view: View) -> str:
    """Return what is explained of a picture, and the name of the number that follows."""
    if view.case.reference:
        return f"alike to {short(view.case.reference)}, cosine"
    return f"predicted {spoken(view.predicted)}, probability"


def settings(found: Mapping[str, Maps]) -> str:
    """Return the settings of methods that differ from their defaults, as text."""
    of_methods = {
        of_method.manifest["method"].partition(" (")[0]: ", ".join(
            f"{name} {value}"
            for name, value in of_method.manifest["settings"]["method"].items()
            if name not in ("_target_", "preset")  # a preset stands in the row's name
        )
        for of_method in found.values()
    }
    parts = [f"{name}: {words}" for name, words in of_methods.items() if words]
    return f"Settings: {'; '.join(parts)}." if parts else ""


if __name__ == "__main__":
    main()
