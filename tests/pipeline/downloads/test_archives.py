"""Archives, honest and hostile: unpacked whole, or not at all and nowhere else."""

import gzip
import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from naflow.errors import BadInput
from pipeline.downloads.archives import unpack

FILES = {"birds/images/a.jpg": b"a" * 5000, "birds/images.txt": b"1 a.jpg\n", "readme.txt": b""}


def tar(path: Path, *members: tarfile.TarInfo | tuple[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz" if path.suffix == ".tgz" else "w") as archive:
        for member in members:
            info = member if isinstance(member, tarfile.TarInfo) else tarfile.TarInfo(member[0])
            content = b"" if info is member else member[1]
            if info is not member:
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def special(kind: bytes, name: str = "birds/odd", to: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, to
    return info


def zipped(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def packed(path: Path, *members: tuple[str, bytes]) -> Path:
    return (zipped if path.suffix == ".zip" else tar)(path, *members)


def tree(folder: Path) -> dict[str, bytes | None]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def files(folder: Path) -> dict[str, bytes]:
    return {name: content for name, content in tree(folder).items() if content is not None}


@pytest.mark.parametrize("ending", [".tgz", ".tar", ".zip"])
def test_whole(tmp_path, ending):
    archive = packed(tmp_path / f"a{ending}", *FILES.items())
    unpack(archive, tmp_path / "new" / "data")
    assert files(tmp_path / "new" / "data") == FILES
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["data"]


def test_tar_of_a_folder_with_its_own_entries_and_modes(tmp_path):
    folder = special(tarfile.DIRTYPE, "./birds")
    folder.mode = 0
    file = tarfile.TarInfo("./birds/a.txt")
    file.mode = 0o4777
    unpack(tar(tmp_path / "a.tgz", special(tarfile.DIRTYPE, "."), folder, file), tmp_path / "data")
    assert tree(tmp_path / "data") == {"birds": None, "birds/a.txt": b""}
    assert not (tmp_path / "data" / "birds" / "a.txt").stat().st_mode & (stat.S_ISUID | 0o111)


def test_second_archive_beside_the_first(tmp_path):
    first = tar(tmp_path / "a.tgz", *FILES.items())
    unpack(first, tmp_path / "data")
    unpack(tar(tmp_path / "b.tgz", ("masks/a.png", b"m")), tmp_path / "data")
    assert files(tmp_path / "data") == FILES | {"masks/a.png": b"m"}
    before = tree(tmp_path)
    with pytest.raises(BadInput, match="is there already"):
        unpack(tar(tmp_path / "a.tgz", ("new.txt", b""), *FILES.items()), tmp_path / "data")
    assert tree(tmp_path / "data") == {
        name.removeprefix("data/"): content
        for name, content in before.items()
        if name.startswith("data/")
    }


def test_what_a_killed_run_left_is_cleared(tmp_path):
    (tmp_path / ".data.unpacking" / "birds").mkdir(parents=True)
    (tmp_path / ".data.unpacking" / "half.txt").write_text("h")
    unpack(tar(tmp_path / "a.tgz", *FILES.items()), tmp_path / "data")
    assert files(tmp_path / "data") == FILES
    assert not (tmp_path / ".data.unpacking").exists()


def link_in_zip() -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("birds/odd")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def hostile(folder: Path) -> dict[str, Path]:
    outside = [("good.txt", b"g"), ("../evil.txt", b"e")]
    bomb = [("good.txt", b"g"), ("zeros", bytes(3 << 20))]
    chain = [special(tarfile.SYMTYPE, "way", ".."), ("way/evil.txt", b"e")]
    return {
        "leads outside: tar": tar(folder / "1.tgz", *outside),
        "leads outside: zip": zipped(folder / "2.zip", *outside),
        "leads outside: inner": tar(folder / "3.tar", ("a/../../evil.txt", b"e")),
        "leads outside: absolute tar": tar(folder / "4.tar", (f"{folder}/evil.txt", b"e")),
        "leads outside: absolute zip": zipped(folder / "5.zip", ("/evil.txt", b"e")),
        "leads outside: drive": tar(folder / "6.tar", ("C:/evil.txt", b"e")),
        "leads outside: backslash": tar(folder / "7.tar", ("..\\evil.txt", b"e")),
        "link or device: out": tar(folder / "8.tar", special(tarfile.SYMTYPE, to="../../evil")),
        "link or device: chain": tar(folder / "9.tar", *chain),
        "link or device: hard": tar(folder / "10.tar", special(tarfile.LNKTYPE, to="/etc/passwd")),
        "link or device: zip": zipped(folder / "11.zip", (link_in_zip(), b"/etc/passwd")),
        "link or device: character": tar(folder / "12.tar", special(tarfile.CHRTYPE)),
        "link or device: fifo": tar(folder / "13.tar", special(tarfile.FIFOTYPE)),
        "unpacks to more: tar": tar(folder / "14.tgz", *bomb),
        "unpacks to more: zip": zipped(folder / "15.zip", *bomb),
        "unpacks to more: many": tar(folder / "16.tgz", *[(f"{n}", b"") for n in range(60)]),
        "twice: tar": tar(folder / "17.tar", ("a", b"1"), ("a", b"2")),
        "twice: file and folder": tar(folder / "18.tar", ("a", b"1"), ("a/b", b"2")),
        "damaged: no archive": _bytes(folder / "19.tgz", b"no archive"),
        "damaged: no zip": _bytes(folder / "20.zip", b"no archive"),
        "damaged: cut": _bytes(folder / "21.tgz", _cut(folder)),
        "no such archive: ": folder / "22.tgz",
    }


def _bytes(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _cut(folder: Path) -> bytes:
    whole = tar(folder / "whole.tgz", *FILES.items()).read_bytes()
    return whole[: len(whole) // 2]


def test_hostile(tmp_path):
    (tmp_path / "archives").mkdir()
    for told, archive in hostile(tmp_path / "archives").items():
        before = tree(tmp_path)
        with pytest.raises(BadInput, match=told.split(":")[0]):
            unpack(archive, tmp_path / "data", most_bytes=2 << 20, most_files=50)
        assert tree(tmp_path) == before, told


def test_ratio_counts_small_archives_as_larger(tmp_path):
    archive = tar(tmp_path / "a.tgz", ("zeros", bytes(3 << 20)))
    unpack(archive, tmp_path / "data", most_ratio=4)
    with pytest.raises(BadInput, match="unpacks to more"):
        unpack(archive, tmp_path / "other", most_ratio=2)
    assert not (tmp_path / "other").exists()


def test_claimed_size_of_a_sparse_file_counts(tmp_path):
    info = tarfile.TarInfo("sparse")
    info.size, info.pax_headers = 0, {"GNU.sparse.major": "0", "GNU.sparse.map": "0,0"}
    info.pax_headers |= {"GNU.sparse.size": str(1 << 40), "GNU.sparse.numblocks": "1"}
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(info)
    with pytest.raises(BadInput, match="unpacks to more"):
        unpack(tmp_path / "a.tar", tmp_path / "data")


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("in the way")
    archive = tar(tmp_path / "a.tgz", *FILES.items())
    with pytest.raises(BadInput, match="was not unpacked into"):
        unpack(archive, tmp_path / "file" / "data")


def test_cut_anywhere_or_with_one_wrong_byte(tmp_path):
    plain = gzip.decompress(tar(tmp_path / "a.tgz", *FILES.items()).read_bytes())
    stored = gzip.compress(plain, compresslevel=0)
    assert b"aaaa" in stored
    damaged = [stored[:end] for end in range(0, len(stored), 1009)]
    damaged += [stored[:-1], stored.replace(b"aaaa", b"aaba", 1)]
    for content in damaged:
        with pytest.raises(BadInput):
            unpack(_bytes(tmp_path / "b.tgz", content), tmp_path / "data")
        assert not (tmp_path / "data").exists()
    unpack(_bytes(tmp_path / "b.tgz", stored), tmp_path / "data")
