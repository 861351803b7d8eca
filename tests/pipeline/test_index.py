"""The list of a folder's pictures: what DVC knows of it."""

import shutil

import pandas as pd
import pytest

from pipeline.index import write
from pipeline.pictures.images import Folder

COLUMNS = {"id": "id", "box": ["x0", "y0", "x1", "y1"], "group": "class_split"}


@pytest.fixture
def listed(scenes, tmp_path):
    """The text of the list, after a change to the scenes' copy if one is given."""
    root = tmp_path / "scenes"
    shutil.copytree(scenes, root)

    def text(columns=COLUMNS):
        write(Folder(str(root), "shapes", "index.csv", columns), tmp_path / "list.csv")
        return (tmp_path / "list.csv").read_text()

    return root, text


def test_a_row_a_picture_with_what_tells_it_from_others(listed, tmp_path):
    root, text = listed
    text()
    table, known = pd.read_csv(tmp_path / "list.csv"), pd.read_csv(root / "index.csv")
    for column in ("id", "image", "mask", "class", "split", "x0", "y1"):
        assert list(table[column]) == list(known[column]), column
    assert list(table.group) == list(known.class_split)
    assert list(table.image_bytes) == [(root / one).stat().st_size for one in known.image]
    assert list(table.mask_bytes) == [(root / one).stat().st_size for one in known["mask"]]


def test_it_changes_with_the_pictures_and_with_nothing_else(listed):
    root, text = listed
    first = text()
    (root / "train").mkdir()
    (root / "train" / "other.png").write_bytes(b"of another set")
    assert text() == first
    assert text(COLUMNS | {"box": []}) != first
    image = root / "images" / "disc_test_000.png"
    image.write_bytes(image.read_bytes() + b"more")
    assert text() != first


def test_the_folder_may_lie_anywhere(listed, tmp_path):
    root, text = listed
    first = text()
    root.rename(tmp_path / "moved")
    root.symlink_to(tmp_path / "moved")
    assert text() == first
