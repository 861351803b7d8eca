"""What a run did, as JSON that is the same for the same run: it holds no dates."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from naflow.atomic import replacing
from naflow.cli.files import sha256, shown
from naflow.errors import BadInput

NAME = "manifest.json"


class Manifest:
    """The file manifest.json of an output folder; all photos in it share one set of settings.

    folder  of all files that the entries name
    head    versions and settings, of what JSON knows

    A file that is there already is gone on with. Raises BadInput where it has other settings or
    versions, naming them, and where it is no manifest.
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
        try:
            old = json.loads(path.read_bytes())
            head, photos = {part: dict(old[part]) for part in self.head}, dict(old["photos"])
        except (ValueError, KeyError, TypeError):
            raise BadInput(f"{shown(path)} is no manifest of naflow: give another --out.") from None
        differing = [
            name
            for part, values in self.head.items()
            for name in sorted({*values, *head[part]})
            if values.get(name) != head[part].get(name)
        ]
        if differing:
            raise BadInput(
                f"{shown(path.parent)} holds a run with another {', '.join(differing)}: give "
                "another --out, or delete that folder."
            )
        self.photos = photos

    def done(self, key: str) -> bool:
        """Whether a photo's entry is there for every method, and every file that it names, as it
        was written."""
        methods = self.photos.get(key, {}).get("methods", {})
        if set(methods) != set(self.head["settings"]["methods"]):
            return False
        return all(self._whole(entry.get("files")) for entry in methods.values())

    def _whole(self, files: object) -> bool:
        if not isinstance(files, dict):  # of an older version, which kept no checksums
            return False
        paths = {self.folder / file: told for file, told in files.items()}
        return all(path.is_file() and sha256(path) == told for path, told in paths.items())

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
