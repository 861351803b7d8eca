"""The folder kept beside fetched weights: a note of their source (source.json), and NPID's memory
bank (memory.npy).

    data/weights/imagenet/resnet18_npid.safetensors
    data/weights/imagenet/resnet18_npid.source/source.json
    data/weights/imagenet/resnet18_npid.source/memory.npy
"""

import hashlib
from dataclasses import asdict
from pathlib import Path

from naflow.errors import BadInput
from pipeline.atomic import read_json, write_json
from pipeline.downloads.weights_lock import Entry


def bank(weights: Path) -> Path:
    """Return the path of the memory bank that belongs to `weights`; it need not exist."""
    return weights.with_suffix(".source") / "memory.npy"


def write(weights: Path, entry: Entry) -> None:
    """Note that the present `weights` were converted from the file of `entry`."""
    write_json(_note(weights), asdict(entry) | {"converted": _digest(weights)})


def read(weights: Path) -> Entry | None:
    """Return the file that `weights` were converted from; None if they were not (trained ones).

    Raises BadInput for a damaged note.
    """
    note = _note(weights)
    if not (note.is_file() and weights.is_file()):
        return None
    try:
        content = read_json(note)
        converted, entry = content.pop("converted"), Entry(**content)
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise BadInput(
            f"{note} is damaged ({error}). Run python -m pipeline.fetch again."
        ) from None
    return entry if converted == _digest(weights) else None


def _digest(weights: Path) -> str:
    with weights.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _note(weights: Path) -> Path:
    return weights.with_suffix(".source") / "source.json"
