"""The reader of pictures: every kind rightly, or refused by name."""

import io
import os

import numpy as np
import pytest
from made_pictures import png, tiff
from PIL import EpsImagePlugin, Image

from naflow import raster
from naflow.errors import BadInput

RAMP = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
SHADES = np.round(RAMP / 257).astype(int)
COLOURS = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)


def read(data):
    image = raster.rgb(data, "a.jpg")
    assert image.mode == "RGB"
    return np.asarray(image).astype(int)


def saved(image, ending, **settings):
    file = io.BytesIO()
    image.save(file, ending, **settings)
    return file.getvalue()


def grey(found):
    assert (found == found[..., :1]).all()
    return found[..., 0]


@pytest.mark.parametrize(
    "data",
    [
        png(RAMP, 16),
        tiff(RAMP),
        tiff(65535 - RAMP, photometric=0),
        saved(Image.fromarray(RAMP), "tiff", compression="tiff_lzw"),
        saved(Image.fromarray(RAMP), "png"),
        png(np.repeat(RAMP[..., None], 3, 2), 16, colour=2),
    ],
    ids=["png", "tiff", "the least is white", "lzw", "pillow's", "colours"],
)
def test_sixteen_bits(data):
    assert np.abs(grey(read(data)) - SHADES).max() <= 1


def test_twelve_bits():
    assert np.abs(grey(read(tiff(RAMP >> 4, bits=12))) - SHADES).max() <= 1


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (tiff(RAMP.astype(np.float32), 32, sample=3), "floating-point numbers"),
        (tiff(RAMP.astype(np.int32), 32, sample=2), "signed or 32-bit integers"),
        (tiff(RAMP.astype(np.uint32), 32), "signed or 32-bit integers"),
        (tiff(RAMP.astype(np.int16), 16, sample=2), "signed or 32-bit integers"),
        (png(np.zeros((2, 2, 3), int), 16, 2, clear=b"\0\1\0\1\0\1"), "16 bits a channel"),
    ],
)
def test_what_cannot_be_read_rightly_is_refused_by_name(data, what):
    with pytest.raises(BadInput, match=rf"^a\.jpg .*{what}"):
        raster.rgb(data, "a.jpg")


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_one_transparent_grey_lies_on_white(depth):
    """PNG names it in the numbers of the file, whatever Pillow makes of them."""
    most = 2**depth - 1
    values = np.array([[0, 1, most, 1]] * 4)
    found = grey(read(png(values, depth, clear=(1).to_bytes(2, "big"))))
    assert (found[:, [1, 3]] == 255).all()
    assert (found[:, 0] == 0).all()
    assert (found[:, 2] == 255).all()


def test_nothing_else_is_transparent():
    """Of 16 bits, 257 and 258 are one shade of 8, but one alone is transparent."""
    found = grey(read(png(np.array([[257, 258]] * 2), 16, clear=(257).to_bytes(2, "big"))))
    assert found.tolist() == [[255, 1]] * 2


def test_transparent_kinds_lie_on_white():
    image = Image.fromarray(COLOURS)
    alpha = np.zeros((8, 8), np.uint8)
    alpha[:4] = 255
    clear = image.copy()
    clear.putalpha(Image.fromarray(alpha))
    for data in (saved(clear, "png"), saved(clear, "webp", lossless=True), saved(clear, "tiff")):
        assert (read(data)[:4] == COLOURS[:4]).all() and (read(data)[4:] == 255).all()
    shade = Image.merge("LA", [image.convert("L"), Image.fromarray(alpha)])
    assert (read(saved(shade, "png"))[4:] == 255).all()
    flat = Image.fromarray(np.eye(8, dtype=np.uint8), "P")
    flat.putpalette([9, 9, 9, 70, 80, 90])
    for ending in ("gif", "png"):
        found = read(saved(flat, ending, transparency=0))
        assert (found[~np.eye(8, dtype=bool)] == 255).all()
        assert (found[np.eye(8, dtype=bool)] == [70, 80, 90]).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_kind_is_upright(orientation):
    wanted = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40
    stored = {
        1: wanted,
        2: wanted[:, ::-1],
        3: wanted[::-1, ::-1],
        4: wanted[::-1],
        5: wanted.T,
        6: np.rot90(wanted),
        7: np.rot90(wanted.T, 2),
        8: np.rot90(wanted, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    small = Image.fromarray(np.ascontiguousarray(stored))
    deep = Image.fromarray(stored.astype(np.uint16) * 257)
    for image, ending in ((small, "png"), (deep, "png"), (small, "tiff"), (deep, "tiff")):
        found = grey(read(saved(image, ending, exif=exif)))
        assert found.tolist() == wanted.tolist(), ending


def test_photographs_with_a_second_picture_inside():
    """Telephones append one to a JPEG; Pillow then calls the file MPO."""
    image = Image.fromarray(COLOURS).resize((32, 32))
    data = saved(image, "mpo", save_all=True, append_images=[image])
    assert np.abs(read(data) - np.asarray(image)).mean() < 12


def test_no_program_is_started_for_a_picture(monkeypatch):
    def started(*_, **__):
        raise AssertionError("Ghostscript was started")

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", started)
    data = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"
    with Image.open(io.BytesIO(data)) as file:
        assert file.format == "EPS"  # so it would be, were it not refused
    with pytest.raises(BadInput, match=r"a\.jpg is no picture of a kind that is read \(JPEG, PNG"):
        raster.rgb(data, "a.jpg")


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (png([[0]], 8, shape=(12_000, 10_000)), "is 12000 x 10000 pixels; at most 100,000,000"),
        (png([[0]], 8, shape=(60_000, 60_000)), "has more pixels than the 100,000,000"),
        (b"GIF89a\xff\xff\xff\xff\x00\x00\x00", "a.jpg"),
        (b"BM" + bytes(16) + b"\xff\xff\x00\x00" * 2 + bytes(40), "a.jpg"),
        (b"", "is no picture"),
        (png(RAMP, 16)[:90], "cannot be decoded"),
    ],
)
def test_bombs_and_ruins_are_a_sentence(data, sentence):
    with pytest.raises(BadInput, match=sentence):
        raster.rgb(data, "a.jpg")


def test_what_is_no_file_is_said_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "large.jpg").touch()
    os.truncate(tmp_path / "large.jpg", raster.BYTES + 1)
    for name, sentence in {
        "pipe.jpg": "is a pipe",
        "folder.jpg": "is a folder",
        "large.jpg": "bytes; at most 536,870,912 are read",
        "lost.jpg": r"cannot be read \(No such file",
        "x" * 300: r"cannot be read \(File name too long",
    }.items():
        with pytest.raises(BadInput, match=sentence):
            raster.content(tmp_path / name, name)
