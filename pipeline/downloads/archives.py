"""Archives from the network, unpacked whole or not at all, and never outside their folder.

What an archive says of itself is not trusted: its members' names are checked here, folders and
plain files are made with default permissions, and links and devices, which no data set needs, are
refused.
"""

import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from naflow.errors import BadInput

_BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,  # compressed in a way that zipfile lacks
    RuntimeError,  # encrypted
    ValueError,
)


@dataclass(frozen=True)
class Member:
    """One entry: kind is "folder", "file", or what is refused; size in bytes, as it claims."""

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
    """Unpack a .zip, .tar or compressed .tar file into `folder`.

    The files get there when all are unpacked: a new folder appears at once, and into one that
    exists their top-level entries are moved, which must be new to it.

    most_bytes  that all files may have together, unpacked
    most_files  members that there may be
    most_ratio  unpacked bytes for each byte of the archive (counted as 1 MiB at least)

    Raises BadInput for an archive that is missing, damaged, beyond these limits, holds a member
    that is absolute, leads outside, is a link or device or comes twice, and where `folder` cannot
    be written.
    """
    archive, folder = Path(archive), Path(folder)
    if not archive.is_file():
        raise BadInput(f"{archive}: there is no such archive.")
    most_bytes = min(most_bytes, int(most_ratio * max(archive.stat().st_size, 1 << 20)))
    partial = folder.with_name(f".{folder.name}.unpacking")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        with _members(archive) as members:
            for member in _within(members, archive, most_bytes, most_files):
                _write(member, partial / _inside(member, archive))
        _move(partial, folder, archive)
    except BadInput:
        raise
    except _BROKEN as error:
        raise BadInput(
            f"{archive} is damaged or no archive that can be read ({error}). Fetch it again."
        ) from None
    except FileExistsError as error:
        raise BadInput(f"{archive} was not unpacked: it holds {error.filename} twice.") from None
    except OSError as error:
        raise BadInput(f"{archive} was not unpacked into {folder}: {error}.") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def _members(archive: Path) -> Generator[Iterator[Member]]:
    if archive.suffix.lower() == ".zip":
        with zipfile.ZipFile(archive) as opened:
            yield (_of_zip(opened, info) for info in opened.infolist())
    else:
        with tarfile.open(archive) as opened:
            yield (_of_tar(opened, info) for info in opened)
            while opened.fileobj is not None and opened.fileobj.read(1 << 20):
                pass  # to the very end, where a compressed file keeps its checksum


def _of_zip(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Member:
    kind = "folder" if info.is_dir() else "file"
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        kind = "a link or device"
    return Member(info.filename, kind, info.file_size, lambda: archive.open(info))


def _of_tar(archive: tarfile.TarFile, info: tarfile.TarInfo) -> Member:
    kind = "folder" if info.isdir() else "file" if info.isreg() else "a link or device"
    return Member(info.name, kind, info.size, lambda: archive.extractfile(info))


def _within(
    members: Iterator[Member], archive: Path, most_bytes: int, most_files: int
) -> Iterator[Member]:
    """The members, as long as they keep the limits together."""
    total = 0
    for count, member in enumerate(members, start=1):
        total += member.size
        if total > most_bytes or count > most_files:
            raise BadInput(
                f"{archive} unpacks to more than {most_bytes:,} bytes or {most_files:,} files: it "
                "is no archive of data. If you trust it, unpack it by hand."
            )
        yield member


def _inside(member: Member, archive: Path) -> PurePosixPath:
    """The member's path. Raises BadInput where it leads outside on any system, or is no file."""
    path = PureWindowsPath(member.name)  # takes both / and \ for separators, and knows drives
    if path.drive or path.root or ".." in path.parts:
        raise BadInput(f"{archive} was not unpacked: {member.name!r} leads outside its folder.")
    if member.kind not in ("folder", "file"):
        raise BadInput(f"{archive} was not unpacked: {member.name!r} is {member.kind}.")
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
