"""The maps of one method on one model, as files: written in parts while they are made, read as one.

A folder of maps holds part-000.npz, part-001.npz, ... or, once they were merged, their store (see
pipeline.explanations.store). job.json says what is being made; manifest.json takes its place at
the end: where it stands, the folder is complete.
"""

import zipfile
import zlib
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from naflow import Flow
from naflow.errors import BadInput, near_names
from pipeline.atomic import read_json, replacing, write_json
from pipeline.explanations import store
from pipeline.explanations.cases import Case
from pipeline.explanations.manifest import check_layers, read_manifest, sealed
from pipeline.explanations.questions import Question

MANIFEST, JOB = "manifest.json", "job.json"
# What reading a damaged .npz file can raise.
DAMAGED = (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error)
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

    def predicted(self, row: int) -> str | None:
        """The name of the class that was predicted; None for a likeness. Raises BadInput where the
        manifest has no name for it."""
        number, names = int(self.prediction[row]), self.manifest["classes"]
        if number >= len(names):
            raise BadInput(
                f"The maps of {self.manifest['method']} on {self.manifest['model']} were made with "
                f"{len(names)} class names, and class {number} was predicted: name them all "
                "(model.labels=FILE, one a line), and run python -m pipeline.explain again."
            )
        return names[number] if number >= 0 else None


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
    """Write one batch of flows, whole or not at all.

    fingerprint  of its job and, behind a blank, of its own cases and pixels
    """
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


def read_part(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a part's file, the fingerprint among them. Raises BadInput where it is missing
    or damaged."""
    try:
        whole = path.read_bytes()
        with zipfile.ZipFile(BytesIO(whole)) as part:
            # Read whole, and so against its checksum, before any of it is believed.
            contents = {name.removesuffix(".npy"): part.read(name) for name in part.namelist()}
        if len(contents) != int.from_bytes(whole[-12:-10], "little"):  # its directory's own count
            raise ValueError("its list of arrays was changed")
        return {name: np.load(BytesIO(content)) for name, content in contents.items()}
    except DAMAGED as error:
        raise BadInput(
            f"{path} is missing or damaged ({type(error).__name__}: {error}). Run the command of "
            "explain again."
        ) from None


def made(folder: Path, numbers: Collection[int]) -> dict[int, str]:
    """Number -> fingerprint of those parts that are there, as files or in the store.

    A file that was damaged is not: a machine that broke down may leave one without its content.
    """
    stored = store.fingerprints(folder)
    found = {number: stored[number] for number in numbers if number < len(stored)}
    for number in numbers:
        with suppress(BadInput, KeyError):
            found[number] = str(read_part(part_path(folder, number))["fingerprint"])
    return found


def empty(folder: Path) -> None:
    """Empty a finished folder; the part files of an unfinished one stay, to be gone on from."""
    if (folder / MANIFEST).exists():
        (folder / MANIFEST).unlink()
        remove_parts(folder)
    store.remove(folder)


def remove_parts(folder: Path, kept: range = range(0)) -> None:
    """Remove the files of all parts but those numbered in `kept`."""
    for path in set(folder.glob("part-*.npz")).difference(part_path(folder, n) for n in kept):
        path.unlink()


def begin(folder: Path, parts: int, manifest: dict) -> None:
    """Declare that `parts` parts are being made, by whom `manifest` says, and are not complete.

    Every shard says so, of the same job in the same words.
    """
    (folder / MANIFEST).unlink(missing_ok=True)
    path, job = folder / JOB, manifest | {"parts": parts}
    with suppress(BadInput):  # one that is missing or damaged is written anew
        if described(path) == job:
            return
    write_json(path, job)


def finish(folder: Path, parts: int, manifest: dict) -> None:
    """Declare a folder of `parts` parts complete; further parts, of a longer run, are removed."""
    remove_parts(folder, kept=range(parts))
    first = store.names(folder) or read_part(part_path(folder, 0))
    layers = [name.removeprefix("map/") for name in first if name.startswith("map/")]
    write_json(folder / MANIFEST, sealed(manifest | {"parts": parts, "layers": layers}))
    (folder / JOB).unlink(missing_ok=True)


def described(path: Path) -> dict:
    """The content of a manifest.json or job.json. Raises BadInput for one that is damaged."""
    try:
        content = read_json(path)
        if isinstance(content["parts"], int):
            return content
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise BadInput(f"{path} is missing or damaged. Run the command of explain again.")


def load(folder: Path) -> Maps:
    """Read a complete folder, whole: for a large one see pipeline.explanations.store.

    Raises BadInput when it is missing or was not finished.
    """
    if not (folder / MANIFEST).exists():
        raise BadInput(
            f"{folder} holds no finished maps. Make them: python -m pipeline.explain, or dvc "
            "repro; those of several shards are finished by python -m pipeline.merge."
        )
    manifest = read_manifest(folder)
    if store.exists(folder):
        return agreeing(folder, _maps(manifest, store.Store(folder).arrays()))
    arrays: dict[str, list[np.ndarray]] = {}
    for number in range(manifest["parts"]):
        for name, values in read_part(part_path(folder, number)).items():
            arrays.setdefault(name, []).append(values)
    del arrays["fingerprint"]
    joined = {name: np.concatenate(parts) for name, parts in arrays.items()}
    return agreeing(folder, _maps(manifest, joined))


def agreeing(folder: Path, found: Maps) -> Maps:
    """The maps of a folder. Raises BadInput where its manifest names other layers."""
    check_layers(folder, found.manifest, found.maps)
    return found


def _maps(manifest: dict, arrays: dict[str, np.ndarray]) -> Maps:
    layers = [name.removeprefix("map/") for name in arrays if name.startswith("map/")]
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
    """One row a layer, the means over all cases: size of the map, and how well it was found."""
    table = []
    for layer, values in found.maps.items():
        sides = {"layer": layer, "height": values.shape[1], "width": values.shape[2]}
        stats = found.stats.get(layer, {})
        means = {field: float(stats[field].mean()) for field in STATS if field in stats}
        empty = {"empty": float((values == 0).all((1, 2)).mean())}
        table.append(sides | means | empty)
    return pd.DataFrame(table)


def summary_of_parts(folder: Path, numbers: Iterable[int]) -> pd.DataFrame:
    """The same of parts as files, one in memory at a time; empty where there are none."""
    sums, cases = [], 0
    for path in (part_path(folder, number) for number in numbers):
        if path.exists():
            part = _maps({}, read_part(path))
            sums.append(len(part.cases) * summary(part).set_index("layer"))
            cases += len(part.cases)
    if not sums:
        return pd.DataFrame()
    return (pd.concat(sums).groupby(level=0, sort=False).sum() / cases).reset_index()
