"""The maps of one batch as one file: part-000.npz, part-001.npz, ..., each whole or absent.

The arrays of a part with B cases:

    fingerprint           of its job and, after a space, of its own cases and pixels
    pictures, references  (B,) ids; a reference is "" if a class was explained
    labels                (B,) names of the pictures' classes
    score                 (B,) the score that was explained
    confidence, prediction, weights  (B,), (B,), (B, D): see questions.py
    map/LAYER             (B, h, w) float32, raw
    iterations/LAYER, ... (B,) the fields of LayerStats, for methods that have them
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from naflow import Flow
from naflow.errors import BadInput
from pipeline import npy
from pipeline.atomic import replacing
from pipeline.explanations.cases import Case
from pipeline.explanations.questions import Question

STATS = ("iterations", "residual", "norm_ratio", "abandoned")

Arrays = dict[str, np.ndarray]


def path(folder: Path, number: int) -> Path:
    """Return the path of part `number`, counted from 0."""
    return folder / f"part-{number:03d}.npz"


def paths(folder: Path) -> set[Path]:
    """Return the paths of all parts in a folder."""
    return set(folder.glob("part-*.npz"))


def arrays(flow: Flow, question: Question, cases: Sequence[Case], labels: Sequence[str]) -> Arrays:
    """Return the arrays of a part, without its fingerprint."""
    part = {
        "pictures": np.array([case.picture for case in cases]),
        "references": np.array([case.reference for case in cases]),
        "labels": np.array(labels),
        "score": flow.score.detach().cpu().numpy(),
        "confidence": question.confidence(flow).cpu().numpy(),
        "prediction": question.prediction(flow).cpu().numpy(),
        "weights": question.weights(flow).cpu().numpy(),
    }
    for layer in flow.layers:
        part[f"map/{layer}"] = flow.maps[layer].detach().float().cpu().numpy()
    for layer, stats in flow.stats.items():
        for field in STATS:
            part[f"{field}/{layer}"] = np.asarray(getattr(stats, field))
        part[f"stop/{layer}"] = np.array([stop.name.lower() for stop in stats.stop])
    return part


def layers_of(names: Sequence[str]) -> list[str]:
    """Return the layers, shallow to deep, of a part whose arrays have these names."""
    return [name.removeprefix("map/") for name in names if name.startswith("map/")]


def write(path: Path, fingerprint: str, arrays: Arrays) -> None:
    """Write a part, whole or not at all."""
    everything: dict = {"fingerprint": np.array(fingerprint)} | arrays
    with replacing(path) as partial:
        np.savez(partial, **everything)


def read(path: Path) -> Arrays:
    """Read the arrays of a part, with its fingerprint. Raises BadInput if the file is missing or
    damaged: a machine that crashes may leave an empty one."""
    try:
        whole = path.read_bytes()
        return npy.read_all(whole, len(whole))  # no part is compressed
    except npy.DAMAGED as error:
        raise BadInput(
            f"{path} is missing or damaged ({type(error).__name__}: {error}). Run the command of "
            "explain again."
        ) from None
