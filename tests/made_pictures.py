"""Files of pictures written by hand, of kinds that Pillow reads but does not write."""

import struct
import zlib

import numpy as np


def png(values, depth: int, colour: int = 0, clear: bytes | None = None, shape=None) -> bytes:
    """Rows of packed samples as PNG: of `depth` bits, `colour` 0 grey or 2 RGB; `clear`: its tRNS.

    values  (H, W) or (H, W, 3) numbers below 2**depth
    shape   what the header says instead of the true (width, height)
    """
    values = np.asarray(values)
    rows = values.reshape(len(values), -1)
    if depth < 8:
        bits = (rows[..., None] >> np.arange(depth)[::-1]) & 1
        packed = np.packbits(bits.reshape(len(rows), -1).astype(np.uint8), axis=1)
        lines = [row.tobytes() for row in packed]
    else:
        lines = [row.astype(">u2" if depth == 16 else np.uint8).tobytes() for row in rows]
    width, height = shape or (values.shape[1], values.shape[0])
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = [(b"IHDR", header)] + ([(b"tRNS", clear)] if clear else [])
    parts += [(b"IDAT", zlib.compress(b"".join(b"\0" + line for line in lines))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )


def tiff(values: np.ndarray, bits: int = 16, photometric: int = 1, sample: int = 1) -> bytes:
    """Grey numbers (H, W) as TIFF; photometric 0: the least is white; sample 3: floating point.

    Of 12 bits two numbers stand in three bytes, the width must be even.
    """
    height, width = values.shape
    if bits == 12:
        first, second = values[:, ::2].astype(int), values[:, 1::2].astype(int)
        three = [first >> 4, (first & 15) << 4 | second >> 8, second & 255]
        data = np.stack(three, -1).astype(np.uint8).tobytes()
    else:
        data = values.tobytes()
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: photometric, 273: 0, 277: 1}
    tags |= {278: height, 279: len(data), 339: sample}
    tags[273] = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + b"\0\0\0\0" + data
