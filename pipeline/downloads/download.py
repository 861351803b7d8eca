"""Files from the network: whole, checked and under their name, or not there at all."""

import hashlib
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from filelock import FileLock

from naflow.errors import BadInput
from pipeline.downloads.conversation import Patience, Refused
from pipeline.downloads.transfer import Partial, Transfer

PATIENT = Patience()
MOST = 4 << 30  # bytes of a file of which nobody knows anything
_DRIVE = re.compile(r"https://drive\.google\.com/file/d/([\w-]+)(?:/.*)?")


class Unavailable(BadInput):
    """No address gave the file."""


class WrongFile(BadInput):
    """There is a file, but another one than is expected."""


@dataclass(frozen=True)
class Got:
    """A file that is whole and in its place: its sha256, and where it came from, as `addresses` or
    the mirror name it; None where it had been there.
    """

    sha256: str
    source: str | None = None


Arriving = Callable[[Path, Got], None]


@dataclass(frozen=True)
class Expected:
    """What is known of a file before it comes.

    size     in bytes; None: not known
    most     bytes that it cannot exceed
    sha256   None: not known
    content  what is wrong with a file that is whole, "" if nothing is: called before it gets its
             name, when size and hash are right
    """

    size: int | None = None
    most: int = MOST
    sha256: str | None = None
    content: Callable[[Path], str] = lambda path: ""

    def fault(self, path: Path, found: str) -> str:
        """What is wrong with a whole file whose sha256 is `found`, "" if nothing is."""
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
    """Have the file at `target`, from the first address that gives it.

    A file that is there already, downloaded or placed by hand, is checked and kept. What arrives is
    kept in target.partial, where a later call goes on, until all that is known of it is checked;
    then it is moved to `target`. Of several processes that want one file, one downloads it.

    mirror  tried first: a folder, or the beginning of an address, that holds target's file name
    arriving  told of a checked file while it still lies at the path it is given, before it moves to
            `target`: what it writes about the file is there whenever the file is
    quiet   None: a progress bar on a terminal only; True: none; False: always

    Raises WrongFile, with both hashes or sizes, where the file at `target` or every file that came
    is another one; Unavailable, with each address's reason, where none came; and BadInput where
    the folder cannot be written, as on a full disk.
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
