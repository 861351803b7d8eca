"""Pixels: image, mask and box stay aligned under every cut."""

import numpy as np
import pytest
import torch
from PIL import Image

from naflow.cli import photos
from naflow.errors import BadInput
from naflow.models import Input
from pipeline.pictures.images import Picture
from pipeline.pictures.pixels import MARGIN, normalised, read, square


def white_patch(folder, box, shape=(40, 20)):
    """A black picture of `shape` (width, height) with a white patch, its mask the patch."""
    x0, y0, x1, y1 = box
    pixels = np.zeros((shape[1], shape[0]), np.uint8)
    pixels[y0:y1, x0:x1] = 255
    Image.fromarray(pixels).convert("RGB").save(folder / "i.png")
    Image.fromarray(pixels).save(folder / "m.png")
    return Picture("i", folder / "i.png", "patch", "test", folder / "m.png", box)


@pytest.mark.parametrize("fit", ["crop", "centre", "stretch", "box"])
def test_mask_and_box_lie_on_the_same_pixels(tmp_path, fit):
    got = read([white_patch(tmp_path, (14, 4, 24, 12))], ["patch"], 80, fit, quiet=True)
    assert got.images.shape == (1, 3, 80, 80)
    assert got.images.dtype == torch.uint8
    assert got.labels.tolist() == [0]
    bright = got.images[0, 0] > 127
    assert (bright == got.masks[0]).float().mean() > 0.99
    x0, y0, x1, y1 = got.boxes[0].round().int().tolist()
    assert got.masks[0, y0:y1, x0:x1].all()
    assert got.masks[0].sum() == (y1 - y0) * (x1 - x0)


def test_squares():
    """Of a picture 40 wide and 20 high: all inside it, and where they should be."""
    assert square((40, 20), "crop") == (10, 0, 30, 20)
    assert square((40, 20), "centre") == (11.25, 1.25, 28.75, 18.75)
    assert square((40, 20), "stretch") == (0, 0, 40, 20)
    assert square((40, 20), "box") == square((40, 20), "crop")  # there is no box
    side = 8 * MARGIN
    x0, y0, x1, y1 = square((40, 20), "box", (14, 6, 18, 14))
    assert (x1 - x0, y1 - y0) == (side, side)
    assert ((x0 + x1) / 2, (y0 + y1) / 2) == (16, 10)
    assert square((40, 20), "box", (0, 12, 4, 20)) == (0, 20 - side, side, 20)  # in the corner
    assert square((40, 20), "box", (0, 0, 40, 20)) == (10, 0, 30, 20)  # no more than there is


def test_a_box_outside_the_cut_is_none(tmp_path):
    got = read([white_patch(tmp_path, (0, 4, 8, 12))], ["patch"], 20, "crop", quiet=True)
    assert got.boxes.isnan().all()
    assert not got.masks.any()


def test_picture_without_mask_or_box_and_of_an_unknown_class(tmp_path):
    Image.new("L", (9, 9), 100).save(tmp_path / "grey.png")
    got = read(
        [Picture("g", tmp_path / "grey.png", "new", "test")], ["patch"], 9, "crop", quiet=True
    )
    assert got.labels.tolist() == [-1]
    assert not got.masks.any()
    assert got.boxes.isnan().all()
    assert (got.images == 100).all()


@pytest.mark.parametrize("content", [b"", b"no picture at all", None])
def test_damaged_file_is_named(tmp_path, content):
    path = tmp_path / "bad.png"
    if content is None:  # a picture cut off in the middle
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(path)
        content = path.read_bytes()[:3000]
    path.write_bytes(content)
    sentence = r"bad.png (cannot be decoded|is no picture) .*Replace the file"
    with pytest.raises(BadInput, match=sentence):
        read([Picture("b", path, "x", "test")], ["x"], 8, "crop", quiet=True)


def of(folder, image, mask=None):
    picture = Picture("p", folder / image, "x", "test", mask and folder / mask)
    return read([picture], ["x"], 8, "crop", quiet=True)


def test_the_command_line_and_the_pipeline_see_the_same(tmp_path):
    """Deep and transparent pictures, too."""
    ramp = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    Image.fromarray(np.dstack([(ramp >> 8).astype(np.uint8)] * 4)).save(tmp_path / "clear.png")
    for name in ("deep.png", "clear.png"):
        seen = photos.square(photos.PhotoFile.read(tmp_path / name), Input(8))
        np.testing.assert_array_equal(of(tmp_path, name).images[0].permute(1, 2, 0), seen)
    deep = of(tmp_path, "deep.png").images[0, 0].numpy()
    assert (deep == np.round(ramp / 257)).all()
    assert (of(tmp_path, "clear.png").images[0, 0].numpy()[0, 0] == 255).all()


def test_pixels_of_no_known_range_are_refused_by_name(tmp_path):
    Image.fromarray(np.ones((8, 8), np.float32)).save(tmp_path / "f.tiff")
    with pytest.raises(BadInput, match=r"f.tiff holds floating-point numbers.*Replace the file"):
        of(tmp_path, "f.tiff")


@pytest.mark.parametrize("kind", ["bool", "deep", "dark blue", "transparent", "float"])
def test_masks_of_every_kind(tmp_path, kind):
    """Also where what is inside is so dark that 8 bits of grey do not show it."""
    inside = np.eye(8, dtype=bool)
    Image.new("RGB", (8, 8)).save(tmp_path / "i.png")
    blue = np.dstack([0 * inside, 0 * inside, inside]).astype(np.uint8)
    mask = {
        "bool": inside,
        "deep": inside.astype(np.uint16),
        "dark blue": blue,
        "transparent": np.dstack([0 * blue + 200, 255 * inside]).astype(np.uint8),
        "float": inside.astype(np.float32) / 1000,
    }[kind]
    Image.fromarray(mask).save(tmp_path / "m.tiff")
    assert (of(tmp_path, "i.png", "m.tiff").masks[0].numpy() == inside).all()


def test_mask_of_another_size_is_an_error(tmp_path):
    picture = white_patch(tmp_path, (1, 1, 5, 5))
    Image.new("L", (7, 7)).save(tmp_path / "m.png")
    with pytest.raises(BadInput, match=r"m.png is \(7, 7\) pixels large, its picture \(40, 20\)"):
        read([picture], ["patch"], 8, "crop", quiet=True)


def test_normalised():
    images = torch.tensor([0, 255], dtype=torch.uint8).view(1, 1, 1, 2).expand(1, 3, 1, 2)
    got = normalised(images, [0.5, 0.5, 0.0], [0.5, 0.25, 1.0])
    torch.testing.assert_close(got[0, :, 0], torch.tensor([[-1.0, 1.0], [-2.0, 2.0], [0.0, 1.0]]))
