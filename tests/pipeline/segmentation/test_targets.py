"""Class numbers of pixels, from masks of objects and from masks of numbers."""

import numpy as np
import pytest
import torch
from PIL import Image

from naflow.errors import BadInput
from pipeline.pictures.images import Folder, Part
from pipeline.segmentation.targets import VOID, Numbered, Objects, labelled

COLUMNS = {"id": "id", "image": "image", "mask": "mask", "label": "class", "group": "class_split"}


def test_an_object_is_its_class_and_the_rest_background(scenes):
    folder = Folder(str(scenes), "shapes", "index.csv", COLUMNS)
    shown = labelled(folder, Part("base", "test"), Objects(), 32, "crop", quiet=True)
    assert shown.classes == ["background", "cross", "disc"]
    assert len(shown.targets) == 6
    for key, target in zip(shown.pixels.ids, shown.targets.numpy(), strict=True):
        with Image.open(scenes / "masks" / f"{key}.png") as file:
            mask = np.asarray(file) > 0
        assert np.array_equal(target, mask * (1 if key.startswith("cross") else 2))


def test_pictures_travel_with_their_targets(scenes):
    folder = Folder(str(scenes), "shapes", "index.csv", COLUMNS)
    shown = labelled(folder, Part("base", "test"), Objects(), 32, "crop", quiet=True)
    together = shown.together().images
    assert together.dtype == torch.uint8
    assert torch.equal(together[:, :3], shown.pixels.images)
    assert torch.equal(together[:, 3], shown.targets)


@pytest.fixture
def streets(tmp_path):
    """A picture of 4 x 2 pixels whose mask holds the numbers 0 to 3, written by hand."""
    numbers = np.array([[0, 1, 2, 3], [0, 1, 2, 3]], np.uint8)
    Image.fromarray(numbers).save(tmp_path / "mask.png")
    Image.fromarray(np.zeros((2, 4, 3), np.uint8)).save(tmp_path / "image.png")
    (tmp_path / "index.csv").write_text("image,mask,class,split\nimage.png,mask.png,street,test\n")
    return tmp_path


def read(root, classes, fit, size=2):
    folder = Folder(str(root), "streets", "index.csv")
    return labelled(folder, Part(), Numbered(classes), size, fit, quiet=True)


def test_numbers_are_cut_as_their_picture_and_the_nameless_are_void(streets):
    shown = read(streets, ["sky", "road"], "crop")
    assert shown.classes == ["sky", "road"]
    assert shown.targets.tolist() == [[[1, VOID], [1, VOID]]]
    whole = read(streets, ["sky", "road", "car", "tree"], "stretch", size=4)
    assert whole.targets[0, 0].tolist() == [0, 1, 2, 3]


def test_masks_that_cannot_be_used_are_told(streets, scenes):
    Image.fromarray(np.zeros((2, 4, 3), np.uint8)).save(streets / "mask.png")
    with pytest.raises(BadInput, match=r"mode RGB.*one byte a pixel"):
        read(streets, ["sky"], "crop")
    (streets / "index.csv").write_text("image,mask,class\nimage.png,,street\n")
    with pytest.raises(BadInput, match=r"1 pictures have no mask, image\.png among them"):
        read(streets, ["sky"], "crop")
