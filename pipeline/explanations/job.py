"""A job: the maps of one method on one model, made in parts by one process or by several.

While a job is running, its folder holds parts and job.json, which says what is being made. At the
end, manifest.json replaces job.json: a folder with it is complete. `merge` joins the parts to one
store (pipeline.explanations.store). A process that is killed loses at most one part.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from naflow.errors import BadInput
from pipeline.atomic import locked, read_json, restore, write_json
from pipeline.explanations import parts, store
from pipeline.explanations.manifest import NAME as MANIFEST
from pipeline.explanations.manifest import SEAL, sealed
from pipeline.explanations.parts import Arrays

JOB = "job.json"


@dataclass
class Job:
    """`count` parts of maps in `folder`.

    about  what makes them, for captions and for people who find the folder. Its "job" is the
           fingerprint of all of it, which every part has, too: a part with another one is out of
           date
    """

    folder: Path
    count: int
    about: dict
    _declared: bool = field(default=False, init=False, repr=False, compare=False)

    @classmethod
    def of(cls, folder: Path) -> "Job":
        """Return the job that a folder holds. Raises BadInput if its description is missing or
        damaged."""
        for name in (MANIFEST, JOB):
            if (folder / name).exists():
                content = _said(folder / name)
                about = {key: content[key] for key in content.keys() - {"parts", "layers", SEAL}}
                return cls(folder, content["parts"], about)
        raise BadInput(
            f"{folder} holds parts, but neither manifest.json nor job.json, which name their job. "
            "Remove the parts, or make them again: python -m pipeline.explain."
        )

    def start(self, anew: bool) -> None:
        """Remove what a killed writer has left of the store. anew: empty a finished folder; the
        parts of an unfinished one stay, and the job continues from them."""
        with locked(self.folder):
            restore(self.folder / store.NAME)
            if anew:
                if (self.folder / MANIFEST).exists():
                    (self.folder / MANIFEST).unlink()
                    self._remove(parts.paths(self.folder))
                store.remove(self.folder)

    def has(self, number: int, mark: str) -> bool:
        """Whether this job has made part `number` from the batch with this mark."""
        return self._fingerprint(number) == f"{self.about['job']} {mark}"

    def add(self, number: int, mark: str, arrays: Arrays) -> None:
        """Write a part; from then on the folder counts as unfinished."""
        with locked(self.folder):
            self._declare()
            parts.write(parts.path(self.folder, number), f"{self.about['job']} {mark}", arrays)

    def missing(self) -> list[int]:
        """Return the numbers of the parts that the job has not made yet; [] once it is complete."""
        if (self.folder / MANIFEST).exists():
            return []
        return [
            number
            for number in range(self.count)
            if (self._fingerprint(number) or "").split(" ")[0] != self.about.get("job")
        ]

    def finish(self) -> None:
        """Write the manifest, which says that the folder is complete, and remove further parts of a
        longer run. All parts must exist."""
        with locked(self.folder):
            own = {parts.path(self.folder, number) for number in range(self.count)}
            self._remove(parts.paths(self.folder) - own)
            first = store.names(self.folder) or list(parts.read(parts.path(self.folder, 0)))
            about = self.about | {"parts": self.count, "layers": parts.layers_of(first)}
            write_json(self.folder / MANIFEST, sealed(about))
            (self.folder / JOB).unlink(missing_ok=True)

    def merge(self) -> None:
        """Write the store of a complete job, then its manifest; then remove the parts. Raises
        BadInput, and removes nothing, if a source or the new store is damaged."""
        with locked(self.folder):
            # After a picture was replaced, the other parts are taken from the old store.
            old = store.Store(self.folder) if store.exists(self.folder) else None

            def sources() -> Iterator[Arrays]:
                for number in range(self.count):
                    path = parts.path(self.folder, number)
                    yield parts.read(path) if old is None or path.exists() else old.part(number)

            store.write(self.folder, sources)
            self.finish()
            self._remove(parts.paths(self.folder))

    def _declare(self) -> None:
        """Write job.json, which says what is being made, and remove the manifest. All shards of a
        job write the same content; a missing or damaged file is written again."""
        manifest, job = self.folder / MANIFEST, self.folder / JOB
        if self._declared and job.exists() and not manifest.exists():
            return
        manifest.unlink(missing_ok=True)
        content = self.about | {"parts": self.count}
        with suppress(BadInput):
            self._declared = _said(job) == content
            if self._declared:
                return
        write_json(job, content)
        self._declared = True

    def _fingerprint(self, number: int) -> str | None:
        """Return the fingerprint of a part, from its file or else from the store; None if there is
        neither, or if the file is damaged."""
        path = parts.path(self.folder, number)
        if not path.exists():
            return self._stored[number] if number < len(self._stored) else None
        try:
            return str(parts.read(path)["fingerprint"])
        except (BadInput, KeyError):
            return None

    @cached_property
    def _stored(self) -> list[str]:
        """The fingerprints in the store, read once if needed."""
        return store.fingerprints(self.folder)

    @staticmethod
    def _remove(files: set[Path]) -> None:
        for file in files:
            file.unlink()


def _said(path: Path) -> dict:
    """Return the content of a manifest.json or job.json. Raises BadInput for a damaged file."""
    try:
        content = read_json(path)
        if isinstance(content["parts"], int):
            return content
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise BadInput(f"{path} is missing or damaged. Run the command of explain again.")
