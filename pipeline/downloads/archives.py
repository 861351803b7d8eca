"""Unpack archives from the network: completely or not at all, and never outside their folder.

An archive's headers are not trusted. Members' names are checked; folders and plain files get
default permissions; links and devices, which no data set needs, are refused. Only gzip compression
is read: other kinds may allocate gigabytes before they give the first byte.
"""

import gzip
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, cast

from naflow.errors import BadInput

_BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    zlib.error,
    EOFError,
    NotImplementedError,  # a kind of zip that zipfile lacks
    RuntimeError,  # encrypted
    ValueError,
)
_HEADERS, _HEADER = 1 << 20, 1 << 12  # bytes allowed for headers: once, and more for each member
_GZIP = b"\x1f\x8b"
_DEFLATED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@dataclass(frozen=True)
class Member:
    """One entry: kind is "folder", "file", or why it is refused; size in bytes, by its header."""

    name: str
    kind: str
    size: int
    open: Callable[[], IO[bytes] | None]


def unpack(
    archive: str | Path,
    folder: str | Path,
    *,
    most_bytes: int = 50 << 30,
    most_files: int = 1_000_000,
    most_ratio: float = 100.0,
) -> None:
    """Unpack a .zip, .tar or .tar.gz file into `folder`.

    The files are moved there once all are unpacked. If `folder` exists, it must not have any of
    the archive's top-level entries.

    most_bytes  limit of the unpacked bytes of all files together
    most_files  limit of the number of members
    most_ratio  limit of unpacked bytes per byte of the archive (counted as 1 MiB at least)

    Raises BadInput if the archive is missing, damaged, beyond these limits or compressed in another
    way; if a member is absolute, leads outside, has no name, is a link or device, or comes twice;
    and if `folder` cannot be written.
    """
    archive, folder = Path(archive), Path(folder)
    if not archive.is_file():
        raise BadInput(f"{archive}: there is no such archive.")
    most_bytes = min(most_bytes, int(most_ratio * max(archive.stat().st_size, 1 << 20)))
    partial = folder.with_name(f".{folder.name}.unpacking")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        with _members(archive, most_bytes) as members:
            for member in _within(members, archive, most_bytes, most_files):
                _write(member, partial / _inside(member, archive))
        _move(partial, folder, archive)
    except BadInput:
        raise
    except _BROKEN as error:
        raise BadInput(
            f"{archive} is damaged or no .zip, .tar or .tar.gz file ({error}). Fetch it again."
        ) from None
    except FileExistsError as error:
        raise BadInput(f"{archive} was not unpacked: it holds {error.filename} twice.") from None
    except OSError as error:
        raise BadInput(f"{archive} was not unpacked into {folder}: {error}.") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


class Granted:
    """A stream that gives no more bytes than were granted.

    tarfile reads a header into memory, however long the header says that it is, and keeps it.
    """

    def __init__(self, stream: BufferedIOBase, granted: int) -> None:
        self.stream, self.granted = stream, granted

    def read(self, count: int) -> bytes:
        if count > self.granted:
            raise tarfile.ReadError("its headers are larger than its files need")
        found = self.stream.read(count)
        self.granted -= len(found)
        return found

    def seek(self, place: int) -> int:
        return self.stream.seek(place)

    def tell(self) -> int:
        return self.stream.tell()


@contextmanager
def _members(archive: Path, most_bytes: int) -> Generator[Iterator[Member]]:
    if archive.suffix.lower() == ".zip":
        with zipfile.ZipFile(archive) as opened:
            yield (_of_zip(opened, info) for info in opened.infolist())
        return
    with archive.open("rb") as file:
        packed = file.read(len(_GZIP)) == _GZIP
    with gzip.open(archive) if packed else archive.open("rb") as stream:
        granted = Granted(stream, _HEADERS)
        with tarfile.TarFile(fileobj=cast(IO[bytes], granted)) as opened:
            yield _of_tars(opened, granted)
        for _ in range(0, most_bytes + 1, 1 << 20):
            if not stream.read(1 << 20):  # to the end, where gzip stores its checksum
                break
        else:
            raise tarfile.ReadError("it goes on after its end")


def _of_tars(archive: tarfile.TarFile, stream: Granted) -> Iterator[Member]:
    for info in archive:
        stored = info.isreg() and not info.issparse()
        stream.granted += _HEADER + (max(info.size, 0) if stored else 0)
        yield _of_tar(archive, info)


def _of_zip(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Member:
    kind = "folder" if info.filename.endswith("/") else "file"
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        kind = "a link or device"
    if info.compress_type not in _DEFLATED:
        kind = "compressed in a way that is not read here"
    return Member(info.filename, kind, info.file_size, lambda: archive.open(info))


def _of_tar(archive: tarfile.TarFile, info: tarfile.TarInfo) -> Member:
    kind = "folder" if info.isdir() else "file" if info.isreg() else "a link or device"
    if info.issparse():  # its size counts bytes that the archive does not hold
        kind = "a sparse file"
    return Member(info.name, kind, info.size, lambda: archive.extractfile(info))


def _within(
    members: Iterator[Member], archive: Path, most_bytes: int, most_files: int
) -> Iterator[Member]:
    """Yield the members. Raises BadInput when their sum exceeds the limits."""
    total = 0
    for count, member in enumerate(members, start=1):
        if member.size < 0:
            raise tarfile.ReadError(f"{member.name!r} has {member.size} bytes")
        total += member.size
        if total > most_bytes or count > most_files:
            raise BadInput(
                f"{archive} unpacks to more than {most_bytes:,} bytes or {most_files:,} files, the "
                "limits for a data set. If you trust it, unpack it by hand."
            )
        yield member


def _inside(member: Member, archive: Path) -> PurePosixPath:
    """Return the member's path. Raises BadInput if it leads outside on any system or is refused."""
    path = PureWindowsPath(member.name)  # splits at both / and \, and recognises drives
    if path.drive or path.root or ".." in path.parts:
        raise BadInput(f"{archive} was not unpacked: {member.name!r} leads outside its folder.")
    if member.kind not in ("folder", "file"):
        raise BadInput(f"{archive} was not unpacked: {member.name!r} is {member.kind}.")
    if member.kind == "file" and not path.parts:
        raise BadInput(f"{archive} was not unpacked: it holds a file named {member.name!r}.")
    return PurePosixPath(member.name)


def _write(member: Member, path: Path) -> None:
    if member.kind == "folder":
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    source = member.open()
    assert source is not None
    with source, path.open("xb") as file:
        shutil.copyfileobj(source, file)


def _move(partial: Path, folder: Path, archive: Path) -> None:
    if not folder.exists():
        partial.rename(folder)
        return
    for entry in partial.iterdir():
        if (folder / entry.name).exists():
            raise BadInput(f"{archive} was not unpacked: {folder / entry.name} is there already.")
    for entry in partial.iterdir():
        entry.rename(folder / entry.name)
