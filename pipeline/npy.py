"""Read arrays of numbers or text from .npy and .npz files that may have been forged."""

import math
import zipfile
import zlib
from io import BytesIO

import numpy as np

_KINDS = "biufU"  # numbers and text; objects would be unpickled
_PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# The exceptions that reading a damaged .npz file can raise.
DAMAGED = (
    OSError,
    EOFError,
    ValueError,
    RuntimeError,
    OverflowError,
    zipfile.BadZipFile,
    zlib.error,
)


def read(content: bytes) -> np.ndarray:
    """Return the array that numpy.save wrote.

    Raises ValueError for anything else, before memory is taken for what it claims to hold.
    """
    stream = BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
        size = math.prod(shape) * dtype.itemsize
        sides = all(type(side) is int and 0 <= side <= len(content) for side in shape)
        right = version == (1, 0) and dtype.kind in _KINDS and dtype.itemsize > 0 and sides
    except Exception:  # what numpy reads as Python's syntax can raise anything
        right, size = False, 0
    if not right or size != len(content) - stream.tell():
        raise ValueError("it is no array of numbers or text as numpy writes it")
    return np.load(BytesIO(content), allow_pickle=False)


def read_all(content: bytes, most: int) -> dict[str, np.ndarray]:
    """Return the arrays of a .npz file, by name, once the checksums of all have been checked.

    most  bytes that the arrays' files together cannot exceed

    Raises one of DAMAGED for any other file, before more memory than `most` is taken.
    """
    with zipfile.ZipFile(BytesIO(content)) as archive:
        infos = archive.infolist()
        if sum(one.file_size for one in infos) > most:
            raise ValueError(f"its arrays take more than {most:,} bytes")
        if any(one.compress_type not in _PACKED for one in infos):
            raise ValueError("it is compressed in a way that numpy does not use")
        if len(infos) != int.from_bytes(content[-12:-10], "little"):  # its directory's own count
            raise ValueError("its list of arrays was changed")
        contents = {one.filename.removesuffix(".npy"): _whole(archive, one) for one in infos}
        if len(contents) != len(infos):
            raise ValueError("two of its arrays have one name")
    return {name: read(each) for name, each in contents.items()}


def _whole(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    with archive.open(info) as file:
        found = file.read(info.file_size)
        if len(found) != info.file_size or file.read(1):  # the last read compares the checksum
            raise ValueError(f"{info.filename} has another size than its directory says")
    return found
