"""Views and material: pictures as a network sees them, from which figures are drawn and on which
claims are checked."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from naflow.errors import BadInput, near_names
from pipeline.explanations import maps, recorded
from pipeline.explanations.cases import Case
from pipeline.explanations.maps import Maps
from pipeline.judging import selection
from pipeline.judging.selection import Selection
from pipeline.pictures.images import Folder
from pipeline.pictures.pixels import read


@dataclass(frozen=True)
class View:
    """One picture as one network sees it, with the maps of every method.

    label       name of the picture's class
    picture     (H, W, 3) in [0, 1], cropped as for the network
    mask        (H, W) bool, True on the object; all False if unknown
    box         (4,) x0, y0, x1, y1 of the object in pixels of `picture`; NaN if unknown
    maps        method -> layer -> (h, w), raw
    residuals   method -> layer -> relative residual of the inverse; empty for other methods
    predicted   name of the predicted class; "" for a similarity
    confidence  probability of that class, or cosine to the reference
    weights     (D,) contribution weights; empty for a class
    """

    case: Case
    label: str
    picture: np.ndarray
    mask: np.ndarray
    box: np.ndarray
    maps: Mapping[str, Mapping[str, np.ndarray]]
    residuals: Mapping[str, Mapping[str, float]]
    predicted: str
    confidence: float
    weights: np.ndarray


@dataclass(frozen=True)
class Material:
    """Everything that a figure is made of.

    selection  the chosen pictures
    found      method -> maps of the figure's model
    beside     method -> maps of the second model
    """

    selection: Selection
    found: Mapping[str, Maps]
    beside: Mapping[str, Maps]

    @property
    def first(self) -> Maps:
        """The maps of the first method; except for the maps, all methods agree."""
        return next(iter(self.found.values()))

    @cached_property
    def images(self) -> Folder:
        """The folder of the pictures."""
        return recorded.images(self.first.manifest)

    @cached_property
    def views(self) -> list[View]:
        """The chosen pictures."""
        return [self.view(one.case) for one in self.selection.chosen]

    @cached_property
    def references(self) -> list[View]:
        """The views with picture and reference exchanged; [] if classes are explained."""
        return [self.view(view.case.turned) for view in self.views if view.case.reference]

    def view(self, case: Case) -> View:
        """Return the view of one case for the figure's own model."""
        return _view(self.found, case, self.images)

    def of_model(self, name: str) -> list[View]:
        """Return the chosen pictures as the figure's model or the second model sees them.

        The second model may have another reference. Raises BadInput for a third model.
        """
        own, other = (next(iter(found.values())) for found in (self.found, self.beside))
        if name == own.manifest["model"]:
            return self.views
        if name != other.manifest["model"]:
            raise BadInput(
                f"conf/figures.yaml, {self.selection.figure}: a claim is about {name}, and the "
                f"figure is drawn from {own.manifest['model']} and {other.manifest['model']}."
            )
        return [_view(self.beside, nearest(other, view.case), self.images) for view in self.views]

    def turned(self, name: str, view: View) -> View:
        """Return a view of model `name` with picture and reference exchanged."""
        found = self.found if name == self.first.manifest["model"] else self.beside
        return _view(found, view.case.turned, self.images)

    def layers(self, wanted: Sequence[str]) -> list[str]:
        """Return the wanted layers, or every layer for ["all"]. Raises BadInput for an unknown
        layer."""
        known = self.first.manifest["layers"]
        return list(known) if list(wanted) == ["all"] else of_known(wanted, known, "layer")

    def lacking(self, method: str, names: Iterable[str]) -> list[str]:
        """Return the layers of which a method has no map: a preset may merge units, and then has no
        maps inside them."""
        return [name for name in names if name not in self.found[method].maps]

    def methods(self, wanted: Sequence[str]) -> list[str]:
        """Return the wanted methods. Raises BadInput for one that has no maps here."""
        return of_known(wanted, self.found, "method")


def gathered(
    results: Path, figure: str, model: str, beside: str, methods: Iterable[str]
) -> Material:
    """Read the material of a figure. Raises BadInput for what was not made yet."""
    methods = list(methods)
    chosen = selection.read(results / "selected" / model / f"{figure}.json")
    found = {
        name: {method: maps.load(results / "maps" / name / method) for method in methods}
        for name in dict.fromkeys([model, beside])
    }
    return Material(chosen, found[model], found[beside])


def nearest(found: Maps, case: Case) -> Case:
    """Return the case itself if it was explained, else the first case of the same picture."""
    return next(
        (one for one in found.cases if case not in found.cases and one.picture == case.picture),
        case,
    )


def of_known(wanted: Sequence[str], known: Iterable[str], what: str) -> list[str]:
    """Return the wanted names. Raises BadInput for the first that is not known."""
    for name in wanted:
        if name not in known:
            raise BadInput(
                f"conf/figures.yaml: the maps have no {what} {name!r}.{near_names(name, known)}"
            )
    return list(wanted)


def bounds(mask: np.ndarray) -> np.ndarray:
    """Return x0, y0, x1, y1 of the box around a mask (H, W); NaN if it is empty."""
    if not mask.any():
        return np.full(4, np.nan, np.float32)
    ends = [np.flatnonzero(mask.any(axis))[[0, -1]] for axis in (0, 1)]
    (x0, x1), (y0, y1) = ends
    return np.array([x0, y0, x1 + 1, y1 + 1], np.float32)


def _view(found: Mapping[str, Maps], case: Case, images: Folder) -> View:
    rows = {method: of_method.row(case) for method, of_method in found.items()}
    maps, row = next(iter(found.values())), next(iter(rows.values()))
    cut = maps.manifest["settings"]["model"]["input"]
    picture = images.of_id(case.picture)
    pixels = read([picture], [], cut["size"], cut["fit"], quiet=True)
    return View(
        case,
        picture.label,
        pixels.images[0].permute(1, 2, 0).numpy() / 255,
        pixels.masks[0].numpy(),
        bounds(pixels.masks[0].numpy())
        if pixels.boxes[0].isnan().any()
        else pixels.boxes[0].numpy(),
        {m: {n: values[rows[m]] for n, values in of.maps.items()} for m, of in found.items()},
        {
            m: {n: float(stats["residual"][rows[m]]) for n, stats in of.stats.items()}
            for m, of in found.items()
        },
        (maps.predicted(row) or "").split(",")[0],  # the first of several synonyms
        float(maps.confidence[row]),
        maps.weights[row],
    )
