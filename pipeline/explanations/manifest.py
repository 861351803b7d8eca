"""Read and check the file manifest.json of a folder of maps."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from naflow.errors import BadInput
from pipeline.pictures.images import FITS

NAME = "manifest.json"
AGAIN = "Make the maps again: python -m pipeline.explain, or dvc repro."
TEXT = ("method", "model", "weights_sha256")
NAMES = ("classes", "layers")
SEAL = "sha256"


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read what made the maps of a complete folder.

    Raises BadInput, naming the entry, for a file that is damaged or lacks an entry that is used.
    """
    path = folder / NAME
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0]
        raise BadInput(f"{path} cannot be read ({reason}). {AGAIN}") from None
    _expect(isinstance(content, dict), path, "it is no JSON object")
    for key in TEXT:
        _expect(isinstance(content.get(key), str), path, f"{key!r} is no text")
    for key in NAMES:
        names = content.get(key)
        texts = isinstance(names, list) and all(isinstance(one, str) for one in names)
        _expect(texts, path, f"{key!r} is no list of names")
    for key in ("parts", "seed"):
        _expect(type(content.get(key)) is int, path, f"{key!r} is no whole number")
    _expect(content["parts"] > 0, path, "it says that there are no parts")
    _check_settings(content.get("settings"), path)
    _expect(content == sealed(content), path, "it was changed after it was written")
    return content


def sealed(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return the manifest with the sha256 of its content, by which later changes are detected."""
    said = {key: value for key, value in manifest.items() if key != SEAL}
    text = json.dumps(said, sort_keys=True)
    return said | {SEAL: hashlib.sha256(text.encode()).hexdigest()}


def check_layers(folder: Path, manifest: dict[str, Any], layers: Iterable[str]) -> None:
    """Raise BadInput if the manifest's layers are not those that have maps."""
    agree = manifest["layers"] == list(layers)
    _expect(agree, folder / NAME, "'layers' are not those of the maps")


def _check_settings(settings: Any, path: Path) -> None:
    for keys in (("images",), ("method",), ("model",), ("model", "input")):
        entry = settings
        for key in keys:
            entry = entry.get(key) if isinstance(entry, dict) else None
        _expect(isinstance(entry, dict), path, f"'settings.{'.'.join(keys)}' is missing")
    name, seen = settings["images"].get("name"), settings["model"]["input"]
    _expect(isinstance(name, str), path, "'settings.images.name' is no text")
    size = seen.get("size")
    _expect(
        type(size) is int and 0 < size <= 1 << 14, path, "'settings.model.input.size' is no side"
    )
    fits = f"one of {', '.join(FITS)}"
    _expect(seen.get("fit") in FITS, path, f"'settings.model.input.fit' is not {fits}")


def _expect(right: bool, path: Path, fault: str) -> None:
    if not right:
        raise BadInput(f"{path}: {fault}. {AGAIN}")
