"""The maps of one method on one model, as files: written in parts while they are made, read as one.

A folder of maps holds part-000.npz, part-001.npz, ... and manifest.json, which is written last:
where it stands, the folder is complete.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from naflow import Flow
from naflow.errors import BadInput, near_names
from pipeline.atomic import replacing, write_json
from pipeline.explanations.cases import Case
from pipeline.explanations.questions import Question

STATS = ("iterations", "residual", "norm_ratio", "abandoned")


@dataclass(frozen=True)
class Maps:
    """All N explanations of a folder of maps.

    manifest    what made them: method, layers, classes, settings, versions, seed
    cases       (N,) the picture explained, and its reference where a likeness was explained
    labels      (N,) names of the pictures' classes
    score       (N,) what was explained
    confidence  (N,) probability of the predicted class; cosine to the reference
    prediction  (N,) index of the predicted class; -1 for likenesses
    weights     (N, C) contribution weights of the embedding's channels; (N, 0) for classes
    maps        layer -> (N, h, w) float32, raw
    stats       layer -> field -> (N,); empty for methods that solve nothing
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
        """The number of a case. Raises BadInput when it was not explained."""
        if case not in self.cases:
            raise BadInput(
                f"The maps of {self.manifest['method']} on {self.manifest['model']} have no "
                f"picture {case.picture!r}{f' beside {case.reference!r}' * bool(case.reference)}."
                f"{near_names(case.picture, {one.picture for one in self.cases})} "
                "Make them again: dvc repro."
            )
        return self.cases.index(case)


def part_path(folder: Path, number: int) -> Path:
    """Where part `number`, counted from 0, lies."""
    return folder / f"part-{number:03d}.npz"


def write_part(
    path: Path,
    flow: Flow,
    question: Question,
    cases: Sequence[Case],
    labels: Sequence[str],
    fingerprint: str,
) -> None:
    """Write one batch of flows, whole or not at all."""
    arrays: dict[str, Any] = {
        "fingerprint": np.array(fingerprint),
        "pictures": np.array([case.picture for case in cases]),
        "references": np.array([case.reference for case in cases]),
        "labels": np.array(labels),
        "score": flow.score.detach().cpu().numpy(),
        "confidence": question.confidence(flow).cpu().numpy(),
        "prediction": question.prediction(flow).cpu().numpy(),
        "weights": question.weights(flow).cpu().numpy(),
    }
    for layer in flow.layers:
        arrays[f"map/{layer}"] = flow.maps[layer].detach().float().cpu().numpy()
    for layer, stats in flow.stats.items():
        for field in STATS:
            arrays[f"{field}/{layer}"] = np.asarray(getattr(stats, field))
        arrays[f"stop/{layer}"] = np.array([stop.name.lower() for stop in stats.stop])
    with replacing(path) as partial:
        np.savez(partial, **arrays)


def is_done(path: Path, fingerprint: str) -> bool:
    """Whether the part exists and was made by a run of the same fingerprint."""
    if not path.exists():
        return False
    with np.load(path) as part:
        return str(part["fingerprint"]) == fingerprint


def begin(folder: Path) -> None:
    """Empty a finished folder; the parts of an unfinished one stay, to be gone on from."""
    manifest = folder / "manifest.json"
    if manifest.exists():
        manifest.unlink()
        for path in folder.glob("part-*.npz"):
            path.unlink()


def finish(folder: Path, parts: int, manifest: dict) -> None:
    """Declare a folder of `parts` parts complete; further parts, of a longer run, are removed."""
    kept = [part_path(folder, number) for number in range(parts)]
    for path in set(folder.glob("part-*.npz")).difference(kept):
        path.unlink()
    with np.load(kept[0]) as part:
        layers = [name.removeprefix("map/") for name in part.files if name.startswith("map/")]
    write_json(folder / "manifest.json", manifest | {"parts": parts, "layers": layers})


def load(folder: Path) -> Maps:
    """Read a complete folder. Raises BadInput when it is missing or was not finished."""
    if not (folder / "manifest.json").exists():
        raise BadInput(
            f"{folder} holds no finished maps. Make them: python -m pipeline.explain, or dvc repro."
        )
    manifest = json.loads((folder / "manifest.json").read_text())
    arrays: dict[str, list[np.ndarray]] = {}
    for number in range(manifest["parts"]):
        with np.load(part_path(folder, number)) as part:
            for name in part.files:
                arrays.setdefault(name, []).append(part[name])
    whole = {name: np.concatenate(parts) for name, parts in arrays.items() if name != "fingerprint"}
    layers = manifest["layers"]
    fields = (*STATS, "stop")
    pairs = zip(whole["pictures"].tolist(), whole["references"].tolist(), strict=True)
    return Maps(
        manifest=manifest,
        cases=[Case(*pair) for pair in pairs],
        labels=whole["labels"].tolist(),
        score=whole["score"],
        confidence=whole["confidence"],
        prediction=whole["prediction"],
        weights=whole["weights"],
        maps={layer: whole[f"map/{layer}"] for layer in layers},
        stats={
            n: {f: whole[f"{f}/{n}"] for f in fields} for n in layers if f"residual/{n}" in whole
        },
    )


def summary(found: Maps) -> pd.DataFrame:
    """One row a layer, the means over all cases: size of the map, and how well it was found."""
    table = []
    for layer, values in found.maps.items():
        sides = {"layer": layer, "height": values.shape[1], "width": values.shape[2]}
        stats = found.stats.get(layer, {})
        means = {field: float(stats[field].mean()) for field in STATS if field in stats}
        empty = {"empty": float((values == 0).all((1, 2)).mean())}
        table.append(sides | means | empty)
    return pd.DataFrame(table)
