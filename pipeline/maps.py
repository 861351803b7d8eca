"""The maps of one method on one model, as files: written in parts while they are made, read as one.

A folder of maps holds part-000.npz, part-001.npz, ... and manifest.json, which is written last:
where it stands, the folder is complete.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from naflow import Flow
from naflow.errors import BadInput
from pipeline.atomic import replacing, write_json

STATS = ("iterations", "residual", "norm_ratio", "abandoned")


@dataclass(frozen=True)
class Maps:
    """All N pictures of a folder of maps.

    manifest    what made them: method, layers, classes, settings, versions, seed
    ids         (N,) names of the pictures
    labels      (N,) names of their classes
    prediction  (N,) index of the predicted class
    confidence  (N,) its probability
    score       (N,) what was explained
    maps        layer -> (N, h, w) float32, raw
    stats       layer -> field -> (N,); empty for methods that solve nothing
    """

    manifest: dict
    ids: list[str]
    labels: list[str]
    prediction: np.ndarray
    confidence: np.ndarray
    score: np.ndarray
    maps: dict[str, np.ndarray]
    stats: dict[str, dict[str, np.ndarray]]


def part_path(folder: Path, number: int) -> Path:
    """Where part `number`, counted from 0, lies."""
    return folder / f"part-{number:03d}.npz"


def write_part(path: Path, flow: Flow, ids: list[str], labels: list[str], fingerprint: str) -> None:
    """Write one batch of flows of a classifier, whole or not at all."""
    assert flow.prediction is not None
    arrays: dict[str, Any] = {
        "fingerprint": np.array(fingerprint),
        "ids": np.array(ids),
        "labels": np.array(labels),
        "prediction": flow.prediction.cpu().numpy(),
        "confidence": flow.output.softmax(1).max(1).values.cpu().numpy(),
        "score": flow.score.detach().cpu().numpy(),
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
    return Maps(
        manifest,
        whole["ids"].tolist(),
        whole["labels"].tolist(),
        whole["prediction"],
        whole["confidence"],
        whole["score"],
        {layer: whole[f"map/{layer}"] for layer in layers},
        {n: {f: whole[f"{f}/{n}"] for f in fields} for n in layers if f"residual/{n}" in whole},
    )
