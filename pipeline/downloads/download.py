"""Files from the network: whole, checked and under their name, or not there at all."""

import hashlib
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from filelock import FileLock

from naflow.errors import BadInput
from pipeline.downloads.transfer import Partial, Refused, Transfer

_DRIVE = re.compile(r"https://drive\.google\.com/file/d/([\w-]+)(?:/.*)?")


class Unavailable(BadInput):
    """No address gave the file."""


class WrongFile(BadInput):
    """There is a file, but another one than is expected."""


def download(
    addresses: Sequence[str],
    target: str | Path,
    *,
    size: int | None = None,
    sha256: str | None = None,
    mirror: str | None = None,
    quiet: bool | None = None,
    retries: int = 5,
    timeout: float = 30.0,
    sleep: Callable[[float], object] = time.sleep,
) -> str:
    """Have the file at `target`, from the first address that gives it; returns its sha256.

    A file that is there already, downloaded or placed by hand, is checked and kept. What arrives is
    kept in target.partial, where a later call goes on, until its size and hash are checked; then it
    is moved to `target`. Of several processes that want one file, one downloads it.

    size     in bytes; None: not known
    sha256   None: not known
    mirror   tried first: a folder, or the beginning of an address, that holds target's file name
    quiet    None: a progress bar on a terminal only; True: none; False: always
    retries  further attempts at each address, 1, 2, 4, ... seconds (at most 120) apart or as
             Retry-After asks; a refusal (404, a redirect from https to http) is not tried again
    timeout  seconds without an answer, or without a byte, that end an attempt

    Raises WrongFile, with both hashes or sizes, where the file at `target` or every file that came
    is another one; Unavailable, with each address's reason, where none came; and BadInput where
    the folder cannot be written, as on a full disk.
    """
    target = Path(target)
    partial = Partial(target.with_name(target.name + ".partial"))
    transfer = Transfer(partial, size, quiet, retries, timeout, sleep)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f".{target.name}.lock")):
            if not target.exists():
                return _obtain(_sources(addresses, mirror, target.name), target, transfer, sha256)
            found = digest(target)
            if fault := _fault(target, found, size, sha256):
                raise WrongFile(f"{target}: {fault}. Remove it, and it will be downloaded anew.")
            return found
    except OSError as error:
        raise BadInput(
            f"{target} cannot be written: {error.strerror or error}. Mend that and run again: a "
            "download goes on where it stopped."
        ) from None


def digest(path: Path) -> str:
    """The sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def direct(address: str) -> str:
    """The address of the bytes themselves, where `address` is a page of Google Drive about them."""
    page = _DRIVE.fullmatch(address)
    if page is None:
        return address
    return f"https://drive.usercontent.google.com/download?id={page[1]}&export=download&confirm=t"


def _sources(addresses: Sequence[str], mirror: str | None, name: str) -> Iterator[str]:
    """Where to look, in order: addresses, and the path of a file in a mirror that is a folder."""
    if mirror is not None:
        yield f"{mirror.rstrip('/')}/{quote(name) if '://' in mirror else name}"
    yield from map(direct, addresses)


def _obtain(sources: Iterator[str], target: Path, transfer: Transfer, sha256: str | None) -> str:
    """Move the first good file to `target`; returns its sha256. Raises as `download` does."""
    partial, reasons, kind = transfer.partial, [], Unavailable
    for source in sources:
        try:
            if "://" in source:
                transfer(source)
            else:
                _copy(Path(source), partial)
        except Refused as reason:
            reasons.append(f"{source}: {reason}")
            continue
        found = digest(partial.path)
        fault = _fault(partial.path, found, transfer.size, sha256)
        if fault is None:
            partial.path.replace(target)
            partial.discard()
            return found
        partial.discard()
        kind = WrongFile
        reasons.append(f"{source}: {fault}")
    raise kind(
        f"{target.name} was not downloaded. {'; '.join(reasons) or 'No address is known'}. "
        f"Try again later, or place the file by hand at {target}."
    )


def _copy(source: Path, partial: Partial) -> None:
    if not source.is_file():
        raise Refused("there is no such file")
    partial.discard()
    shutil.copyfile(source, partial.path)


def _fault(path: Path, found: str, size: int | None, sha256: str | None) -> str | None:
    """What is wrong with a whole file whose sha256 is `found`, if anything."""
    with path.open("rb") as file:
        head = file.read(512).lstrip().lower()
    if head.startswith((b"<!doctype html", b"<html")):
        return "it is a web page instead of the file"
    if size is not None and path.stat().st_size != size:
        return f"it has {path.stat().st_size:,} bytes, {size:,} are expected"
    if sha256 is not None and found != sha256.lower():
        return f"its sha256 is {found}, {sha256.lower()} is expected"
    return None
