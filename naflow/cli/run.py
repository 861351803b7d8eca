"""Explain photos batch by batch, keep the manifest, and collect what failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from naflow.atomic import replacing
from naflow.cli import page, pictures
from naflow.cli.files import shown
from naflow.cli.layers import Layers
from naflow.cli.manifest import Manifest
from naflow.cli.photos import PhotoFile, square
from naflow.cli.progress import Progress
from naflow.cli.question import Question
from naflow.cli.results import Result
from naflow.cli.subject import Subject
from naflow.errors import BadInput, NotFinite
from naflow.explainer import Explainer
from naflow.hashes import sha256

_PAUSE = 2.0  # seconds between two writings of the manifest


@dataclass(frozen=True)
class _Photo:
    file: PhotoFile
    square: np.ndarray


@dataclass(frozen=True)
class Run:
    """One run of `naflow explain`.

    asked      network, preprocessing and score
    methods    name on the command line -> explainer
    questions  name of the results' folder -> question
    """

    asked: Subject
    methods: Mapping[str, Explainer]
    questions: Mapping[str, Question]
    layers: Layers
    manifest: Manifest
    progress: Progress
    seen: dict[str, Path] = field(default_factory=dict)  # name of a folder -> its photo
    kept: list[Path] = field(default_factory=list)  # photos that an earlier run has explained

    def all(self, paths: Sequence[Path], batch: int) -> None:
        """Explain the photos that are not done, `batch` at once, and keep the manifest up to date,
        also if the run is interrupted."""
        self.manifest.write()  # fails now if the folder is not writable
        written = monotonic()
        try:
            for start in range(0, len(paths), batch):
                self._batch(start, paths[start : start + batch])
                if monotonic() - written > _PAUSE:
                    self.manifest.write()
                    written = monotonic()
        except KeyboardInterrupt:
            self.progress.say("interrupted: run the same command again to continue from here")
            raise
        finally:
            self.progress.clear()
            self.manifest.write()
        if self.kept:
            count = f"{len(self.kept)} of {len(paths)} photos"
            self.progress.say(f"{count}: explained before, kept in {shown(self.manifest.folder)}")

    def _batch(self, start: int, paths: Sequence[Path]) -> None:
        """Explain one batch, as a whole even if some of its photos are done: the last digits of a
        map may depend on the other images."""
        read = [file for path in paths if (file := self._read(path))]
        files = [file for file in read if self._is_new(file)]
        if all(self.manifest.done(file.key) for file in files):
            self.kept.extend(file.path for file in files)
            return
        photos = [photo for file in files if (photo := self._decoded(file))]
        results: dict[str, dict[str, Result]] = {photo.file.key: {} for photo in photos}
        for name in self.questions:
            if photos:
                self.progress.at(start, shown(Path(photos[0].file.path.name)), name)
                for photo, result in self._explained(name, photos):
                    results[photo.file.key][name] = result
        for photo in photos:
            self._keep(photo, results[photo.file.key])

    def _read(self, path: Path) -> PhotoFile | None:
        try:
            return PhotoFile.read(path)
        except BadInput as error:
            self.manifest.failed.append(str(error))
            return None

    def _is_new(self, file: PhotoFile) -> bool:
        """Whether this photo is the first with its folder; if not, print a line."""
        first = self.seen.setdefault(file.key, file.path)
        if first != file.path:
            self.progress.say(f"{shown(file.path)} is the same photo as {shown(first)}")
        return first == file.path

    def _decoded(self, file: PhotoFile) -> _Photo | None:
        try:
            return _Photo(file, square(file, self.asked.input))
        except BadInput as error:
            self.manifest.failed.append(str(error))
            return None

    def _explained(self, name: str, photos: Sequence[_Photo]) -> list[tuple[_Photo, Result]]:
        """Return each photo's result. If one fails, the others are still explained."""
        try:
            return self._asked(name, photos)
        except (BadInput, NotFinite) as error:
            if len(photos) > 1:
                return [pair for photo in photos for pair in self._explained(name, [photo])]
            self.manifest.failed.append(f"{shown(photos[0].file.path)}, {name}: {error}")
            return []

    def _asked(self, name: str, photos: Sequence[_Photo]) -> list[tuple[_Photo, Result]]:
        """Return the photos' results of one question. Raises as the explainer does."""
        images = self.asked.images([photo.square for photo in photos])
        question = self.questions[name]
        explainer = self.methods[question.method]
        score = question.score(explainer, self.asked.network, images) or self.asked.score
        flow = self.layers.flow(explainer, images, score)
        return [
            (photo, Result(flow, row, photo.square, score, self.asked.classes))
            for row, photo in enumerate(photos)
        ]

    def of_photo(self, file: PhotoFile) -> dict[str, Result]:
        """Return the results of all questions for one photo, without writing files.

        Raises BadInput for a file that is no photo, and as the explainers do.
        """
        photo = _Photo(file, square(file, self.asked.input))
        return {name: self._asked(name, [photo])[0][1] for name in self.questions}

    def _keep(self, photo: _Photo, results: Mapping[str, Result]) -> None:
        """Write a photo's files, then add its entry: an entry promises that its files exist."""
        file = photo.file
        entry: dict[str, Any] = {"file": shown(file.path), "sha256": file.sha256, "methods": {}}
        for name, result in results.items():
            entry["predictions"] = result.predictions()
            model = self.manifest.head["settings"]["model"]
            title = f"{shown(Path(file.path.name))}, {model}, {result.flow.method}: {result.said()}"
            entry["methods"][name] = result.write(self.manifest.folder, f"{file.key}/{name}", title)
        for method in self.methods:
            of_method = [n for n in results if n != method and self.questions[n].method == method]
            if of_method:
                path = f"{file.key}/{method}/classes.png"
                self._rows(path, [results[name] for name in of_method])
                files = entry["methods"][of_method[-1]]["files"]
                files[path] = sha256(self.manifest.folder / path)
        if results:
            path = f"{file.key}/index.html"
            page.write(self.manifest.folder / path, self.page({file.path.name: results}))
            files = entry["methods"][list(results)[-1]]["files"]
            files[path] = sha256(self.manifest.folder / path)
            self.manifest.photos[file.key] = entry
            said = ": " + ", ".join(dict.fromkeys(one.said() for one in results.values()))
            self.progress.say(f"{entry['file']}{said} -> {shown(self.manifest.folder / file.key)}")

    def page(self, photos: Mapping[str, Mapping[str, Result]]) -> dict[str, Any]:
        """Return the content of a page. photos: name -> results of the photo."""
        return page.content(self.manifest.head["settings"]["model"], self.asked.weights, photos)

    def _rows(self, path: str, results: Sequence[Result]) -> None:
        """Write one picture of one method, with a row for each class that it explains."""
        first = results[0]
        drawn = [(one.said(), one.square / 255, one.overlays()) for one in results]
        title = f"{first.flow.method}, each class contrasted with the others"
        with replacing(self.manifest.folder / path) as partial:
            pictures.rows(partial, drawn, title, first.told())
