"""A damaged TIFF is told of in our sentence, and on stderr for nobody but who else reads one."""

import io
from threading import Thread

import numpy as np
import pytest
from PIL import Image

from naflow import libtiff, raster
from naflow.errors import BadInput

STRIP_OFFSETS = 273

pytestmark = pytest.mark.skipif(libtiff._listen() is None, reason="Pillow shows no libtiff here")


def fax(damaged):
    """A page of noise as a TIFF of a fax; damaged: some of its pixels."""
    noise = np.random.default_rng(0).integers(0, 2, (40, 40), np.uint8) * 255
    file = io.BytesIO()
    Image.fromarray(noise).convert("1").save(file, "tiff", compression="group4")
    data = bytearray(file.getvalue())
    if damaged:
        with Image.open(io.BytesIO(data)) as told:
            [at] = told.tag_v2[STRIP_OFFSETS]
        data[at + 5 : at + 125] = b"\x10" * 120
    return bytes(data)


def read_otherwise(data):
    """By Pillow itself, as code that is not ours does."""
    with Image.open(io.BytesIO(data)) as file:
        file.load()


def test_a_damaged_one_is_a_sentence_and_writes_nothing(capfd):
    with pytest.raises(BadInput, match=r"^a\.tif is damaged: libtiff"):
        raster.rgb(fax(damaged=True), "a.tif")
    assert raster.rgb(fax(damaged=False), "b.tif").size == (40, 40)
    assert capfd.readouterr().err == ""


def test_others_hear_of_theirs_as_before(capfd):
    with pytest.raises(BadInput):
        raster.rgb(fax(damaged=True), "a.tif")
    read_otherwise(fax(damaged=True))
    assert "Fax4Decode" in capfd.readouterr().err


def test_who_listens_does_not_hear_another_thread(capfd):
    with libtiff.listening() as heard:
        thread = Thread(target=read_otherwise, args=[fax(damaged=True)])
        thread.start()
        thread.join()
        assert not heard and "Fax4Decode" in capfd.readouterr().err
        read_otherwise(fax(damaged=True))
    assert "Fax4Decode" in heard and capfd.readouterr().err == ""


def test_a_tag_that_no_pixel_needs_is_passed_over(capfd):
    data = fax(damaged=False)
    assert data[:4] == b"II*\0"
    directory = int.from_bytes(data[4:8], "little")
    count = int.from_bytes(data[directory : directory + 2], "little")
    last = directory + 2 + 12 * (count - 1)  # entries are in order: a private one comes last
    odd = (51056).to_bytes(2, "little") + b"\xff\x00" + (1).to_bytes(4, "little") + b"\0" * 4
    moved = data + (count + 1).to_bytes(2, "little") + data[directory + 2 : last + 12] + odd
    moved = moved[:4] + len(data).to_bytes(4, "little") + moved[8:] + b"\0" * 4
    assert raster.rgb(moved, "a.tif").size == (40, 40)
    assert capfd.readouterr().err == ""
