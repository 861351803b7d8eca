"""Published boxes: read from a folder or the archive, and no file that is none."""

import tarfile

import pytest
from made_annotations import annotated, annotation

from naflow.errors import BadInput
from pipeline.pictures.annotations import boxes


def test_of_several_objects_the_box_is_around_all(tmp_path):
    annotated(tmp_path / "val", "a", "b")
    (tmp_path / "val" / "read.me").write_text("no annotation")
    with tarfile.open(tmp_path / "boxes.tgz", "w:gz") as tar:
        tar.add(tmp_path / "val", "val")
    assert boxes(tmp_path / "val") == {"a": (1, 2, 5, 6), "b": (0, 4, 7, 8)}
    assert boxes(tmp_path / "boxes.tgz") == boxes(tmp_path)  # whatever folder they lie in


def test_what_cannot_be_read(tmp_path):
    (tmp_path / "text.tgz").write_text("no archive")
    with pytest.raises(BadInput, match=r"text.tgz is neither a folder nor an archive"):
        boxes(tmp_path / "text.tgz")
    (tmp_path / "none").mkdir()
    with pytest.raises(BadInput, match=r"none holds no XML files"):
        boxes(tmp_path / "none")
    for number, text in enumerate(
        ("<annotation>", "<annotation/>", annotation((1, 2, "x", 3)), annotation((5, 2, 5, 3)))
    ):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "one.xml").write_text(text)
        with pytest.raises(BadInput, match=r"one.xml is no annotation of objects"):
            boxes(tmp_path / str(number))
