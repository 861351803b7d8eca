"""Download files: a file with its final name is complete and checked."""

import hashlib
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from filelock import FileLock

from naflow.errors import BadInput
from naflow.models.origins.conversation import Patience, Refused
from pipeline.downloads.transfer import Partial, Transfer

PATIENT = Patience()
MOST = 4 << 30  # bytes: the limit for a file of unknown size
_DRIVE = re.compile(r"https://drive\.google\.com/file/d/([\w-]+)(?:/.*)?")


class Unavailable(BadInput):
    """No address gave the file."""


class WrongFile(BadInput):
    """There is a file, but not the expected one."""


@dataclass(frozen=True)
class Got:
    """A complete file in its place: its sha256, and its source as `addresses` or the mirror name
    it; None if the file was there already.
    """

    sha256: str
    source: str | None = None


Arriving = Callable[[Path, Got], None]


@dataclass(frozen=True)
class Expected:
    """What is known about a file before its download.

    size     in bytes; None: unknown
    most     limit of its size, in bytes
    sha256   None: unknown
    content  function of the path of a complete file of the right size and hash, called before the
             file gets its name; returns what is wrong with it, "" if nothing is
    """

    size: int | None = None
    most: int = MOST
    sha256: str | None = None
    content: Callable[[Path], str] = lambda path: ""

    def fault(self, path: Path, found: str) -> str:
        """Return what is wrong with a complete file of sha256 `found`, "" if nothing is."""
        with path.open("rb") as file:
            head = file.read(512).lstrip().lower()
        if head.startswith((b"<!doctype html", b"<html")):
            return "it is a web page instead of the file"
        if self.size is not None and path.stat().st_size != self.size:
            return f"it has {path.stat().st_size:,} bytes, {self.size:,} are expected"
        if self.sha256 is not None and found != self.sha256.lower():
            return f"its sha256 is {found}, {self.sha256.lower()} is expected"
        return self.content(path)


def download(
    addresses: Sequence[str],
    target: str | Path,
    expected: Expected = Expected(),
    *,
    mirror: str | None = None,
    quiet: bool | None = None,
    patience: Patience = PATIENT,
    arriving: Arriving = lambda path, got: None,
) -> Got:
    """Download the file to `target`, from the first address that gives it.

    A file that is there already, downloaded or placed by hand, is checked and kept. Bytes are
    written to target.partial, which a later call resumes. Once complete and checked, the file is
    moved to `target`. If several processes want the same file, one downloads it.

    mirror    tried first: a folder, or the beginning of an address, that holds target's file name
    arriving  called with the path of the checked file before it is moved to `target`: what this
              call writes about the file exists whenever the file does
    quiet     None: a progress bar on a terminal only; True: none; False: always

    Raises WrongFile, with both hashes or sizes, if the file at `target`, or every downloaded one,
    is not the expected one; Unavailable, with each address's reason, if no address gave a file; and
    BadInput if the folder cannot be written, as on a full disk.
    """
    target = Path(target)
    partial = Partial(target.with_name(target.name + ".partial"))
    hashed = expected.sha256 is not None
    transfer = Transfer(partial, expected.size, expected.most, hashed, quiet, patience)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f".{target.name}.lock")):
            if not target.exists():
                sources = _sources(addresses, mirror, target.name)
                return _obtain(sources, target, transfer, expected, arriving)
            if not target.is_file():
                raise WrongFile(f"{target} is no file. Remove it, and it will be downloaded.")
            found = digest(target)
            if fault := expected.fault(target, found):
                raise WrongFile(f"{target}: {fault}. Remove it; the next run downloads it again.")
            return Got(found)
    except OSError as error:
        raise BadInput(
            f"{target} cannot be written: {error.strerror or error}. Fix that and run again: the "
            "download continues where it stopped."
        ) from None


def digest(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def direct(address: str) -> str:
    """Return the address of the file itself if `address` is its page on Google Drive."""
    page = _DRIVE.fullmatch(address)
    if page is None:
        return address
    return f"https://drive.usercontent.google.com/download?id={page[1]}&export=download&confirm=t"


def _sources(addresses: Sequence[str], mirror: str | None, name: str) -> Iterator[str]:
    """Yield the sources in order: the file in the mirror (address or path), then `addresses`."""
    if mirror is not None:
        yield f"{mirror.rstrip('/')}/{quote(name) if '://' in mirror else name}"
    yield from addresses


def _obtain(
    sources: Iterator[str],
    target: Path,
    transfer: Transfer,
    expected: Expected,
    arriving: Arriving,
) -> Got:
    """Move the first good file to `target`. Raises as `download` does."""
    partial, reasons, kind = transfer.partial, [], Unavailable
    for source in sources:
        try:
            if "://" in source:
                transfer(direct(source))
            else:
                _copy(Path(source), partial, expected.most)
        except Refused as reason:
            reasons.append(f"{source}: {reason}")
            continue
        found = digest(partial.path)
        fault = expected.fault(partial.path, found)
        if not fault:
            got = Got(found, source)
            arriving(partial.path, got)
            partial.path.replace(target)
            partial.discard()
            return got
        partial.discard()
        kind = WrongFile
        reasons.append(f"{source}: {fault}")
    raise kind(
        f"{target.name} was not downloaded. {'; '.join(reasons) or 'No address is known'}. "
        f"Try again later, or place the file by hand at {target}."
    )


def _copy(source: Path, partial: Partial, most: int) -> None:
    if not source.is_file():
        raise Refused("there is no such file")
    if (size := source.stat().st_size) > most:
        raise Refused(f"it has {size:,} bytes, at most {most:,} are expected")
    partial.discard()
    shutil.copyfile(source, partial.path)
