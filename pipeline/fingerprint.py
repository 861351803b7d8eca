"""The fingerprint of a result: one hash of all that it was made of. If it differs, the result is
out of date.

Everything that a stage keeps for a later run has one: parts of maps (explain), tables (measure),
checkpoints (train, segment) and fine-tunings (finetune). It covers settings and seed, the content
of files, every bit of pixels and labels, and the source of the code.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
from torch import Tensor

SHOWING = ("plot.py", "cli")  # files and folders of a package that only show results


def fingerprint(settings: object, *made_of: Path | Tensor | ModuleType | None) -> str:
    """Return the hash, 64 hex digits, of settings (JSON values) and, in order, of files, tensors,
    packages and modules; None stands for something absent."""
    said = [settings, *map(_digest, made_of)]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def of_file(path: str | Path) -> str:
    """Return the sha256 of a file's content, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(one: Path | Tensor | ModuleType | None) -> str | None:
    if one is None:
        return None
    if isinstance(one, Path):
        return of_file(one)
    digest = hashlib.sha256()
    if isinstance(one, Tensor):
        array = np.ascontiguousarray(one.cpu().numpy())
        digest.update(f"{array.dtype} {array.shape} ".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    else:
        for name, source in _sources(one):
            digest.update(f"{name} {of_file(source)} ".encode())
    return digest.hexdigest()


def _sources(module: ModuleType) -> Iterator[tuple[str, Path]]:
    """Yield the name and path of each file of a package, or of the single file of a module."""
    file = Path(str(module.__file__))
    if file.name != "__init__.py":
        yield file.name, file
        return
    for source in sorted(file.parent.rglob("*.py")):
        name = source.relative_to(file.parent)
        if name.parts[0] not in SHOWING:
            yield name.as_posix(), source
