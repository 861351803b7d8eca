"""The maps of one method on one model, read whole from a complete folder: parts or a store."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from naflow.errors import BadInput, near_names
from pipeline.explanations import parts, store
from pipeline.explanations.cases import Case
from pipeline.explanations.manifest import AGAIN, check_layers, read_manifest
from pipeline.explanations.manifest import NAME as MANIFEST
from pipeline.explanations.parts import STATS, Arrays

COLUMNS = ("pictures", "references", "labels", "score", "confidence", "prediction")


@dataclass(frozen=True)
class Maps:
    """All N explanations of a folder of maps.

    manifest    what made them: method, layers, classes, settings, versions, seed
    cases       (N,) the picture explained, and its reference if a similarity was explained
    labels      (N,) names of the pictures' classes
    score       (N,) the score that was explained
    confidence  (N,) probability of the predicted class, or cosine to the reference
    prediction  (N,) index of the predicted class; -1 for a similarity
    weights     (N, C) contribution weights of the embedding's channels; (N, 0) for classes
    maps        layer -> (N, h, w) float32, raw
    stats       layer -> field -> (N,); empty for methods other than NAFlow
    """

    manifest: dict
    cases: list[Case]
    labels: list[str]
    score: np.ndarray
    confidence: np.ndarray
    prediction: np.ndarray
    weights: np.ndarray
    maps: dict[str, np.ndarray]
    stats: dict[str, dict[str, np.ndarray]]

    def row(self, case: Case) -> int:
        """Return the row of a case. Raises BadInput if it was not explained."""
        if case not in self.cases:
            raise BadInput(
                f"The maps of {self.manifest['method']} on {self.manifest['model']} have no "
                f"picture {case.picture!r}{f' beside {case.reference!r}' * bool(case.reference)}."
                f"{near_names(case.picture, {one.picture for one in self.cases})} "
                "Make them again: dvc repro."
            )
        return self.cases.index(case)

    def predicted(self, row: int) -> str | None:
        """Return the name of the class predicted in a row; None for a similarity. Raises BadInput
        if the manifest has no name for it."""
        number, names = int(self.prediction[row]), self.manifest["classes"]
        if number >= len(names):
            raise BadInput(
                f"The maps of {self.manifest['method']} on {self.manifest['model']} were made with "
                f"{len(names)} class names, and class {number} was predicted: name them all "
                "(model.labels=FILE, one a line), and run python -m pipeline.explain again."
            )
        return names[number] if number >= 0 else None


def load(folder: Path) -> Maps:
    """Read all maps of a complete folder into memory; for a large one see
    pipeline.explanations.store.

    Raises BadInput if the folder is missing, unfinished or damaged.
    """
    if not (folder / MANIFEST).exists():
        raise BadInput(
            f"{folder} holds no finished maps. Make them: python -m pipeline.explain, or dvc "
            "repro; those of several shards are finished by python -m pipeline.merge."
        )
    manifest = read_manifest(folder)
    if store.exists(folder):
        joined = store.Store(folder).arrays()
    else:
        pieces: dict[str, list[np.ndarray]] = {}
        for number in range(manifest["parts"]):
            for name, values in parts.read(parts.path(folder, number)).items():
                pieces.setdefault(name, []).append(values)
        pieces.pop("fingerprint", None)
        try:
            joined = {name: np.concatenate(some) for name, some in pieces.items()}
        except ValueError:  # arrays of one name with other shapes
            joined = {}
    if not _agree(joined):
        raise BadInput(
            f"{folder} holds other arrays than explain writes, or of different numbers of cases. "
            f"{AGAIN}"
        )
    loaded = _maps(manifest, joined)
    check_layers(folder, manifest, loaded.maps)
    return loaded


def _agree(arrays: Arrays) -> bool:
    """Whether these can be the arrays of parts: all there, of as many cases and dimensions."""
    dimensions = dict.fromkeys(COLUMNS, 1) | {"weights": 2}
    for name in arrays:
        kind, _, layer = name.partition("/")
        if layer:
            dimensions[name] = 3 if kind == "map" else 1
            if kind == "residual":
                dimensions |= {f"{field}/{layer}": 1 for field in (*STATS, "stop")}
    there = all(n in arrays and arrays[n].ndim == d for n, d in dimensions.items())
    return there and len({len(values) for values in arrays.values() if values.ndim}) == 1


def _maps(manifest: dict, arrays: Arrays) -> Maps:
    layers = parts.layers_of(list(arrays))
    fields = (*STATS, "stop")
    pairs = zip(arrays["pictures"].tolist(), arrays["references"].tolist(), strict=True)
    return Maps(
        manifest=manifest,
        cases=[Case(*pair) for pair in pairs],
        labels=arrays["labels"].tolist(),
        score=arrays["score"],
        confidence=arrays["confidence"],
        prediction=arrays["prediction"],
        weights=arrays["weights"],
        maps={layer: arrays[f"map/{layer}"] for layer in layers},
        stats={
            n: {f: arrays[f"{f}/{n}"] for f in fields} for n in layers if f"residual/{n}" in arrays
        },
    )


def summary(found: Maps) -> pd.DataFrame:
    """Return a table with one row per layer: size of the map, the means of its statistics over all
    cases, and the share of empty maps."""
    table = []
    for layer, values in found.maps.items():
        sides = {"layer": layer, "height": values.shape[1], "width": values.shape[2]}
        stats = found.stats.get(layer, {})
        means = {field: float(stats[field].mean()) for field in STATS if field in stats}
        empty = {"empty": float((values == 0).all((1, 2)).mean())}
        table.append(sides | means | empty)
    return pd.DataFrame(table)


def summary_of_parts(folder: Path, numbers: Iterable[int]) -> pd.DataFrame:
    """Return the same table for the given parts, reading one at a time; an empty table if none
    exists."""
    sums, cases = [], 0
    for path in (parts.path(folder, number) for number in numbers):
        if path.exists():
            part = _maps({}, parts.read(path))
            sums.append(len(part.cases) * summary(part).set_index("layer"))
            cases += len(part.cases)
    if not sums:
        return pd.DataFrame()
    return (pd.concat(sums).groupby(level=0, sort=False).sum() / cases).reset_index()
