"""Files and folders that are either whole or absent, and have one writer at a time.

What is written lies beside its place, under a name of its own, and is moved there when it is whole.
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
    """While the block runs, nobody else is in a block that has locked `path`: they wait, and say
    so.

    The lock is the file .NAME.lock beside `path`, and stays there; that of a process that was
    killed is free. Blocks of one thread may lie inside each other.
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
    """Yield a temporary path of the same ending; when the block ends well it becomes `path`.

    The temporary name is no other writer's, not even on another machine with the same disk. An
    OSError names `path` where it named no file: a full disk does not say what was being written.
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
    """Yield an empty folder; when the block ends well it takes the place of the folder `path`.

    The folder that was there before is moved aside whole, and removed when the new one is in its
    place. Whoever calls this has locked `path`, or the folder around it: what killed writers have
    left is restored or removed.
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
    """Clear away what killed writers of the folder `path` have left; where one was killed between
    moving the old folder aside and the new one in, the old one is there again. It is locked."""
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
