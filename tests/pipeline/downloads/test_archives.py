"""Archives, honest and hostile: unpacked whole, or not at all and nowhere else."""

import gzip
import io
import lzma
import re
import stat
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from naflow.errors import BadInput
from pipeline.downloads.archives import unpack

FILES = {"birds/images/a.jpg": b"a" * 5000, "birds/images.txt": b"1 a.jpg\n", "readme.txt": b""}
PLACE = b"a name unlike any header's bytes"


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


def zipped(
    path: Path, *members: tuple[str | zipfile.ZipInfo, bytes], name: bytes | None = None
) -> Path:
    """A zip file; `name` takes the place of PLACE, the name of its only member."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in members:
            archive.writestr(member, content)
    if name is not None:
        raw = path.read_bytes()
        table, end = raw.index(b"PK\x01\x02"), raw.index(b"PK\x05\x06")
        changed = bytearray(raw[table:end].replace(PLACE, name))
        changed[28:30] = len(name).to_bytes(2, "little")
        local = raw[:table].replace(PLACE, name)
        local = local[:26] + len(name).to_bytes(2, "little") + local[28:]
        closing = bytearray(raw[end:])
        closing[12:16] = len(changed).to_bytes(4, "little")
        closing[16:20] = len(local).to_bytes(4, "little")
        path.write_bytes(local + changed + closing)
    return path


def bloated(path: Path, sizes: list[int]) -> Path:
    """Empty files, each behind a pax header of so many zeros."""
    with gzip.open(path, "wb", compresslevel=1) as file:
        for number, size in enumerate(sizes):
            header = tarfile.TarInfo("pax")
            header.type, header.size = tarfile.XHDTYPE, size
            file.write(header.tobuf())
            text = f"{size} comment=".encode()
            file.write(text)
            for _ in range((size - len(text) - 1) // 1000):
                file.write(bytes(1000))
            file.write(bytes((size - len(text) - 1) % 1000) + b"\n" + bytes(-size % 512))
            file.write(tarfile.TarInfo(f"file{number}").tobuf())
        file.write(bytes(1024))
    return path


def sparse(path: Path, size: int, header: int) -> Path:
    """A sparse file of no bytes that claims so many, and a bloated header behind it."""
    info = tarfile.TarInfo("sparse")
    info.type = tarfile.GNUTYPE_SPARSE
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    block[386 : 386 + 97] = bytes(97)
    block[483:495] = b"%011o\0" % size
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    rest = bloated(path.with_suffix(".rest"), [header]).read_bytes()
    path.write_bytes(gzip.compress(bytes(block)) + rest)
    return path


def long_name(length: int) -> tarfile.TarInfo:
    return tarfile.TarInfo("n" * length)


def negative(path: Path) -> Path:
    """A size below 0 sends a reader back to where it has been."""
    info = tarfile.TarInfo("a")
    raw = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    raw[124:136] = b"\xff" * 10 + b"\xfe\x00"  # -512
    raw[148:156] = b" " * 8
    raw[148:156] = b"%06o\0 " % sum(raw[:512])
    path.write_bytes(bytes(raw) + bytes(1024))
    return path


def _xz(folder: Path) -> bytes:
    return lzma.compress(tar(folder / "plain.tar", *FILES.items()).read_bytes())


def _stored(kind: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("a")
    info.compress_type = kind
    return info


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
        "larger than its files need: a pax header": bloated(folder / "23.tgz", [16 << 20]),
        "larger than its files need: pax headers": bloated(folder / "24.tgz", [500_000] * 3),
        "larger than its files need: long name": tar(folder / "25.tar", long_name(2 << 20)),
        "no .zip, .tar or .tar.gz file: xz": _bytes(folder / "26.tar.xz", _xz(folder)),
        "no .zip, .tar or .tar.gz file: negative": negative(folder / "27.tar"),
        "goes on after its end: tail": _bytes(folder / "28.tgz", gzip.compress(bytes(9 << 20))),
        "compressed in a way: zip": zipped(folder / "29.zip", (_stored(zipfile.ZIP_LZMA), b"a")),
        "a file named '': zip": zipped(folder / "30.zip", (PLACE.decode(), b"a"), name=b""),
        "a file named '.': tar": tar(folder / "31.tar", (".", b"a")),
        "a sparse file: tar": sparse(folder / "32.tgz", 1000, 10),
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
        with pytest.raises(BadInput, match=re.escape(told.split(":")[0])):
            unpack(archive, tmp_path / "data", most_bytes=2 << 20, most_files=50)
        assert tree(tmp_path) == before, told


def test_a_large_header_takes_no_memory(tmp_path):
    first = bloated(tmp_path / "a.tgz", [64 << 20])
    # What a sparse file claims is not to be read: it must not pay for what comes behind it.
    second = sparse(tmp_path / "b.tgz", 90 << 20, 64 << 20)
    for archive, said in ((first, "larger than its files need"), (second, "is a sparse file")):
        tracemalloc.start()
        with pytest.raises(BadInput, match=said):
            unpack(archive, tmp_path / "data")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 8 << 20


def test_headers_of_honest_archives_are_not_too_large(tmp_path):
    name = "/".join(["n" * 200] * 10)
    with tarfile.open(tmp_path / "a.tgz", "w:gz", format=tarfile.PAX_FORMAT) as archive:
        for number in range(1000):
            archive.addfile(tarfile.TarInfo(f"{name}{number}"))
    unpack(tmp_path / "a.tgz", tmp_path / "data")
    assert len(files(tmp_path / "data")) == 1000


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
