"""The manifest of a run: JSON without dates, so that equal runs give equal files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from naflow.atomic import replacing
from naflow.cli.files import shown
from naflow.errors import BadInput
from naflow.hashes import sha256

NAME = "manifest.json"
MAPS = "maps.npz"  # of a photo and a method


class Manifest:
    """The file manifest.json of an output folder; all photos in it share the same settings.

    folder  the output folder; the entries name files in it
    head    versions and settings, as JSON values

    An existing file is continued. Raises BadInput if it has other settings or versions, naming
    them, and if it is no manifest.
    """

    def __init__(self, folder: Path, head: dict[str, dict[str, Any]]) -> None:
        text = json.dumps(head, sort_keys=True)
        self.folder, self.head = folder, json.loads(text)
        self.settings_sha256 = hashlib.sha256(text.encode()).hexdigest()
        self.photos: dict[str, dict[str, Any]] = {}
        self.failed: list[str] = []
        if (folder / NAME).exists():
            self._go_on(folder / NAME)

    def _go_on(self, path: Path) -> None:
        head, photos = _parts(path, self.head)
        differing = [
            name
            for part, values in self.head.items()
            for name in sorted({*values, *head[part]})
            if values.get(name) != head[part].get(name)
        ]
        if differing:
            raise BadInput(
                f"{shown(path.parent)} holds a run with other settings ({', '.join(differing)}): "
                "give another --out, or delete that folder."
            )
        self.photos = photos

    def done(self, key: str) -> bool:
        """Whether a photo has an entry for every method, and all files that it names exist and are
        unchanged."""
        methods = self.photos.get(key, {}).get("methods", {})
        if set(methods) != set(self.head["settings"]["methods"]):
            return False
        return all(
            self._whole(key, f"{key}/{name}/{MAPS}", entry.get("files"))
            for name, entry in methods.items()
        )

    def _whole(self, key: str, maps: str, files: object) -> bool:
        """Whether these files hold the maps, belong to this photo and are all unchanged."""
        if not isinstance(files, dict) or maps not in files:
            return False  # of an older version, which stored no checksums; or nothing was stored
        parts = [file.split("/") for file in files]
        if not all(first == key and ".." not in rest for first, *rest in parts):
            return False  # what lies elsewhere is not looked at
        try:
            paths = {self.folder / file: checksum for file, checksum in files.items()}
            return all(
                path.is_file() and sha256(path) == checksum for path, checksum in paths.items()
            )
        except (OSError, ValueError):  # a name that no file can have
            return False

    def write(self) -> None:
        """Write the file, whole or not at all."""
        content = {
            **self.head,
            "settings_sha256": self.settings_sha256,
            "photos": self.photos,
            "failed": self.failed,
        }
        with replacing(self.folder / NAME) as partial:
            partial.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")


def _parts(path: Path, parts: Iterable[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return these parts of a manifest's head, and its photos. Raises BadInput if the file is no
    manifest."""
    old, wanted = _loaded(path), [*parts, "photos"]
    if not (_has_objects(old, *wanted) and all(map(_is_entry, old["photos"].values()))):
        raise BadInput(f"{shown(path)} is no manifest of naflow: give another --out.")
    return {part: old[part] for part in parts}, old["photos"]


def _loaded(path: Path) -> Any:
    """Return the JSON content of a file; None if it holds no JSON."""
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return None


def _has_objects(content: Any, *keys: str) -> bool:
    return isinstance(content, dict) and all(isinstance(content.get(key), dict) for key in keys)


def _is_entry(entry: Any) -> bool:
    """Whether this is a photo's entry: for every method its files with their checksums (or without,
    in older versions)."""
    if not _has_objects(entry, "methods") or not _has_objects(entry["methods"], *entry["methods"]):
        return False
    return all(_are_files(method.get("files")) for method in entry["methods"].values())


def _are_files(files: Any) -> bool:
    texts = [*files, *files.values()] if isinstance(files, dict) else files
    return isinstance(texts, list) and all(isinstance(text, str) for text in texts)
