"""Write files and folders that are either whole or absent, with one writer at a time.

A writer writes to a temporary path beside the final one, and moves it into place when complete.
"""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

log = logging.getLogger(__name__)


@contextmanager
def locked(path: str | Path) -> Generator[None]:
    """Hold the lock of `path` while the block runs. A process that has to wait logs a warning.

    The lock is the file .NAME.lock beside `path`, which is not deleted. The lock of a process that
    was killed is free. One thread may nest such blocks.
    """
    from filelock import FileLock, Timeout

    path = Path(path).resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(f".{path.name}.lock"), is_singleton=True)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        log.warning("%s: another process is writing there; this one waits for it.", path)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def replacing(path: str | Path) -> Generator[Path]:
    """Yield a temporary path with the same suffix; move it to `path` if the block does not raise.

    The temporary name is unique, also among machines that share the disk. An OSError that names no
    file, as on a full disk, is made to name `path`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _temporary(path)
    try:
        yield partial
        partial.replace(path)
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: str | Path) -> Generator[Path]:
    """Yield an empty folder that replaces the folder `path` if the block does not raise.

    The old folder is moved aside whole, and removed once the new one is in place. The caller must
    hold the lock of `path` or of a folder around it: what killed writers have left is restored or
    removed.
    """
    path = Path(path).resolve()
    restore(path)
    partial = _temporary(path)
    partial.mkdir(parents=True)
    try:
        yield partial
        if path.exists():
            path.rename(_aside(path))
        partial.rename(path)
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        restore(path)


def restore(path: str | Path) -> None:
    """Remove what killed writers of the folder `path` have left. If one was killed after moving the
    old folder aside, move it back. The caller must hold the lock."""
    path = Path(path).resolve()
    aside = _aside(path)
    if aside.exists() and not path.exists():
        aside.rename(path)
    shutil.rmtree(aside, ignore_errors=True)
    temporary = re.compile(rf"\.[0-9a-f]{{32}}\.{re.escape(path.name)}")
    for left in path.parent.iterdir() if path.parent.is_dir() else ():
        if temporary.fullmatch(left.name):
            shutil.rmtree(left, ignore_errors=True)


def _temporary(path: Path) -> Path:
    return path.with_name(f".{uuid4().hex}.{path.name}")


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.replaced")
