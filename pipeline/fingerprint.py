"""What a result was made of, as one hash: where the hash differs, the result is out of date.

Whatever a stage keeps over a kill or another run has one: parts of maps (explain), tables
(measure), checkpoints (train, segment) and fine-tunings (finetune). The same things count for all:
settings and seed, files by their content, pixels and labels by every bit, code by its source.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
from torch import Tensor

SHOWING = ("plot.py", "cli")  # files and folders of a package that show results and make none


def fingerprint(settings: object, *made_of: Path | Tensor | ModuleType | None) -> str:
    """The hash, 64 hex digits, of settings (anything that JSON can say) and, in order, of files,
    tensors, and packages or modules; None is something that there is not."""
    said = [settings, *map(_digest, made_of)]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def of_file(path: str | Path) -> str:
    """The sha256 of a file's content, in hex."""
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
    """The files of a package, by their place in it, or the one of a module."""
    file = Path(str(module.__file__))
    if file.name != "__init__.py":
        yield file.name, file
        return
    for source in sorted(file.parent.rglob("*.py")):
        name = source.relative_to(file.parent)
        if name.parts[0] not in SHOWING:
            yield name.as_posix(), source
