"""Damaged pictures, seeded: a picture or our own sentence comes out, in bounded memory and time.

The environment variable NAFLOW_FAULTS sets how many are tried.
"""

import io
import os
import resource
import struct
import sys
import zlib
from time import monotonic

import numpy as np
import pytest
from made_pictures import png, tiff
from PIL import Image

from naflow import raster
from naflow.errors import BadInput

CASES = int(os.environ.get("NAFLOW_FAULTS", "2000"))
SECONDS = 10  # for one picture: a hundredth of this is usual
MEMORY = 2 * 2**30  # bytes, above what there was: 100 million pixels, composed on white, take 1.6
ODD = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def saved(image, ending, **settings):
    file = io.BytesIO()
    image.save(file, ending, **settings)
    return file.getvalue()


def sound():
    """Small pictures of every kind that is read, by name."""
    random = np.random.default_rng(0)
    colours = Image.fromarray(random.integers(0, 256, (24, 20, 3), np.uint8))
    deep = random.integers(0, 65536, (12, 10)).astype(np.uint16)
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a description"
    clear, flat = colours.copy(), colours.quantize(8)
    clear.putalpha(colours.convert("L"))
    return {
        "jpeg": saved(colours, "jpeg", exif=exif),
        "progressive": saved(colours.convert("CMYK"), "jpeg", progressive=True),
        "mpo": saved(colours, "mpo", save_all=True, append_images=[colours]),
        "png": saved(clear, "png", exif=exif),
        "palette": saved(flat, "png", transparency=1),
        "deep": png(deep, 16, clear=b"\0\7"),
        "bits": png(deep % 4, 2, clear=b"\0\1"),
        "frames": saved(flat, "gif", save_all=True, append_images=[flat.rotate(90)]),
        "gif": saved(flat, "gif", transparency=1),
        "webp": saved(clear, "webp", lossless=True, exif=exif),
        "lossy": saved(colours, "webp"),
        "bmp": saved(colours, "bmp"),
        "tiff": tiff(deep, photometric=0),
        "twelve": tiff(deep >> 4, bits=12),
        "float": tiff(deep.astype(np.float32), 32, sample=3),
        "lzw": saved(clear, "tiff", compression="tiff_lzw"),
        "jpeg in tiff": saved(colours, "tiff", compression="jpeg"),
        "fax": saved(colours.convert("1"), "tiff", compression="group4"),
    }


def damaged(data, other, random):
    """The bytes with one to four faults; where they are a PNG, often with right checksums."""
    data = bytearray(data)
    for _ in range(random.integers(1, 5)):
        # Headers are short, and what they say decides the most.
        end = max(len(data) if random.random() < 0.5 else min(len(data), 96), 1)
        at, kind = int(random.integers(end)), random.integers(6)
        length = int(random.integers(1, 32))
        if kind == 0 and data:
            data[min(at, len(data) - 1)] ^= 1 << random.integers(8)
        elif kind == 1:
            order = random.choice(["<", ">"]) + random.choice(["I", "H"])
            most = 2 ** (8 * struct.calcsize(order)) - 1
            number = struct.pack(order, int(random.choice(ODD)) & most)
            data[at : at + len(number)] = number
        elif kind == 2:
            del data[at:]
        elif kind == 3:
            del data[at : at + length]
        elif kind == 4:
            data[at:at] = data[at : at + length]
        else:
            start = int(random.integers(len(other)))
            data[at : at + length] = other[start : start + length]
    return mended(bytes(data)) if random.random() < 0.8 else bytes(data)


def mended(data):
    """A PNG with checksums that fit, so that its faults are looked at; anything else as it is."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return data
    found, at = [data[:8]], 8
    while at + 12 <= len(data):
        length = struct.unpack_from(">I", data, at)[0]
        chunk = data[at + 4 : at + 8 + length]
        found += [data[at : at + 4], chunk, struct.pack(">I", zlib.crc32(chunk))]
        at += 12 + length
    return b"".join(found)


def most_memory():
    """Bytes that this process ever held at once."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )


@pytest.mark.parametrize("name", sound())
def test_the_sound_ones_are_read(name):
    if name == "float":
        with pytest.raises(BadInput, match="floating-point"):
            raster.rgb(sound()[name], "a.jpg")
    else:
        assert raster.rgb(sound()[name], "a.jpg").size[0] >= 10


def test_a_damaged_picture_is_a_picture_or_a_sentence():
    kinds = list(sound().values())
    before, read, refused = most_memory(), 0, 0
    for case in range(CASES):
        random = np.random.default_rng(case)
        data = damaged(kinds[case % len(kinds)], kinds[random.integers(len(kinds))], random)
        start = monotonic()
        try:
            image = raster.rgb(data, "a.jpg")
        except BadInput as error:
            refused += 1
            said = str(error)
        except Exception as error:
            raise AssertionError(f"case {case}: {type(error).__name__}") from error
        else:
            read += 1
            said = "a.jpg is read"
            width, height = image.size
            assert image.mode == "RGB" and 0 < width * height <= raster.PIXELS, f"case {case}"
            found = raster.cut(image, (0, 0, min(width, 64), min(height, 64)), 8)
            assert found.shape == (8, 8, 3) and found.dtype == np.uint8, f"case {case}"
        assert said.startswith("a.jpg ") and "\n" not in said, f"case {case}: {said}"
        assert monotonic() - start < SECONDS, f"case {case} took {monotonic() - start:.0f} s"
        assert most_memory() - before < MEMORY, f"case {case} took {most_memory() - before:,} bytes"
    assert read > CASES / 20 and refused > CASES / 20
