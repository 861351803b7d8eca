"""Arrays as numpy writes them are read; what only claims to be one is refused."""

import io
import tracemalloc
import zipfile

import numpy as np
import pytest

from pipeline import npy


def saved(array, **settings):
    file = io.BytesIO()
    np.save(file, array, **settings)
    return file.getvalue()


def headed(told, data=b""):
    """A .npy file with this header, whatever it says."""
    head = told.encode().ljust(-(len(told) + 11) % 64 + len(told)) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + data


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
        np.array("a word"),
        np.array(["é", ""]),
        np.array([True, False]),
        np.zeros((2, 0), np.float32),
        np.arange(3, dtype=">u2"),
    ],
)
def test_what_was_saved_is_read(array):
    found = npy.read(saved(array))
    assert found.dtype == array.dtype and np.array_equal(found, array)


def shaped(shape):
    return f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}"


FORGED = {
    "nothing": b"",
    "cut in its header": saved(np.ones(3))[:20],
    "cut": saved(np.ones(3))[:-1],
    "too long": saved(np.ones(3)) + b"x",
    "a pickle": b"\x80\x04N.",
    "an archive": b"PK\x03\x04" + bytes(60),
    "objects": saved(np.array([{}], object), allow_pickle=True),
    "fields": saved(np.zeros(2, [("a", "i4")])),
    "dates": saved(np.zeros(2, "M8[s]")),
    "more than memory holds": headed(shaped("(1000000000000,)")),
    "many of nothing": headed("{'descr': '<U0', 'fortran_order': False, 'shape': (1000000000,), }"),
    "nothing of many": headed(shaped(f"(0, {10**24})")),
    "a side that is true": headed(shaped("(True, 0)")),
    "below nothing": headed(shaped("(-1, -1)"), bytes(8)),
    "a header without end": headed("[" * 9000),
    "a header that is deep": headed("-" * 9000 + "1"),
    "a header that calls": headed("__import__('os').getcwd()"),
    "no header": headed("{}"),
}


@pytest.mark.parametrize("kind", FORGED)
def test_anything_else_is_refused(kind):
    with pytest.raises(ValueError, match="no array of numbers or text as numpy writes it"):
        npy.read(FORGED[kind])


def packed(kind=zipfile.ZIP_DEFLATED, **contents):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", kind) as archive:
        for name, content in contents.items():
            archive.writestr(f"{name}.npy", content)
    return file.getvalue()


def understated():
    """An array of 256 MiB, packed to 256 KiB, whose directory says that it has 100 bytes."""
    whole = bytearray(packed(a=saved(np.zeros(1 << 28, np.uint8))))
    for mark, place in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        start = whole.index(mark) + place
        whole[start : start + 4] = (100).to_bytes(4, "little")
    return bytes(whole)


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_what_was_saved_together_is_read(write):
    file = io.BytesIO()
    write(file, allow_pickle=False, **{"a/b": np.eye(3), "c": np.array("word")})
    found = npy.read_all(file.getvalue(), 4096)
    assert np.array_equal(found["a/b"], np.eye(3)) and found["c"] == "word"


FORGED_ARCHIVES = {
    "more than allowed": (packed(a=saved(np.zeros(999))), "take more than 4,096 bytes"),
    "another compression": (packed(zipfile.ZIP_LZMA, a=saved(np.ones(3))), "does not use"),
    "less than it holds": (understated(), "CRC|size"),
    "an object": (packed(a=FORGED["objects"]), "no array of numbers or text"),
    "one name twice": (
        packed(**{"a": saved(np.ones(3)), "a.npy": b""}).replace(b"a.npy.npy", b"a.npy\0npy"),
        "one name",
    ),
    "a list cut short": (packed(a=saved(np.ones(3)), b=b"")[:-22] + bytes(22), "zip"),
}


@pytest.mark.parametrize("kind", FORGED_ARCHIVES)
def test_an_archive_of_anything_else_is_refused(kind):
    content, said = FORGED_ARCHIVES[kind]
    tracemalloc.start()
    with pytest.raises(npy.DAMAGED, match=said):
        npy.read_all(content, 4096)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20
