"""Arrays as numpy writes them are read; what only claims to be one is refused."""

import io

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
