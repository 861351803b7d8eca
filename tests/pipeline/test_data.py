"""The folder that stage `data` writes."""

import hashlib
import shutil

import pandas as pd
import pytest
from omegaconf import OmegaConf
from PIL import Image

from naflow.errors import BadInput
from pipeline.data import COLUMNS, draw, planned, write


def digest(root):
    files = sorted(p for p in root.rglob("*") if p.is_file())
    return {
        p.relative_to(root).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files
    }


SETTINGS = {
    "size": 32,
    "seed": 3,
    "classes": {"base": ["disc"]},
    "count": {"base": {"train": 2, "test": 1}},
}


def test_format(scenes):
    table = pd.read_csv(scenes / "index.csv")
    assert list(table.columns) == COLUMNS
    assert len(table) == 2 * 11 + 2
    assert table.id.is_unique
    assert set(table.groupby("class_split")["class"].unique().loc["base"]) == {"disc", "cross"}
    assert table.groupby("class").class_id.nunique().eq(1).all()
    for row in table.itertuples():
        with Image.open(scenes / row.image) as image, Image.open(scenes / row.mask) as mask:
            assert image.size == mask.size == (32, 32)
            assert (image.mode, mask.mode) == ("RGB", "L")
        assert 0 <= row.x0 < row.x1 <= 32
        assert 0 <= row.y0 < row.y1 <= 32
        files = (scenes / row.image).read_bytes() + (scenes / row.mask).read_bytes()
        assert row.sha256 == hashlib.sha256(files).hexdigest()


def test_same_seed_same_bytes(tmp_path):
    write(tmp_path / "a", OmegaConf.create(SETTINGS), quiet=True)
    write(tmp_path / "b", OmegaConf.create(SETTINGS), quiet=True)
    write(tmp_path / "c", OmegaConf.create(SETTINGS | {"seed": 4}), quiet=True)
    assert digest(tmp_path / "a") == digest(tmp_path / "b") != digest(tmp_path / "c")


def test_unknown_silhouette_is_named_with_near_ones():
    settings = OmegaConf.create(SETTINGS | {"classes": {"base": ["dics"]}})
    with pytest.raises(BadInput, match=r"no silhouette 'dics'.*'disc'"):
        list(planned(settings))


def test_shipped_configuration_has_disjoint_class_splits_and_few_enough_files(config):
    scenes = config().scenes
    names = [name for part in scenes.classes.values() for name in part]
    assert len(names) == len(set(names)) == 24
    rows = list(planned(scenes))
    assert 2 * len(rows) < 10_000
    assert sum(row["class_split"] == "base" and row["split"] == "test" for row in rows) >= 200


def test_no_scene_at_all(tmp_path):
    with pytest.raises(BadInput, match=r"scenes.count: it asks for no scene"):
        draw(asked(tmp_path, count={"base": {"train": 0}}))
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"classes": 5},
        {"classes": {"base": 5}},
        {"count": {"base": 5}},
        {"count": {"base": {"train": "x"}}},
    ],
)
def test_classes_and_counts_of_another_form(tmp_path, wrong):
    with pytest.raises(BadInput, match=r"classes must be .*, and count"):
        draw(asked(tmp_path, **wrong))


def asked(folder, **more):
    return OmegaConf.create({"scenes": SETTINGS | {"root": f"{folder}/a"} | more, "quiet": True})


def test_a_folder_of_other_pictures_is_not_replaced(tmp_path):
    (tmp_path / "a").mkdir()
    for index in ("id,image,class\n", ""):
        (tmp_path / "a" / "index.csv").write_text(index)
        with pytest.raises(BadInput, match="holds other files than scenes"):
            draw(asked(tmp_path))
        assert (tmp_path / "a" / "index.csv").read_text() == index


def test_a_kill_while_the_old_folder_is_removed_costs_nothing(tmp_path, monkeypatch):
    draw(asked(tmp_path))
    expected = digest(tmp_path / "a")

    def stopping(*args, **more):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):  # noqa: PT012
        patch.setattr(shutil, "rmtree", stopping)
        draw(asked(tmp_path, seed=4))
    draw(asked(tmp_path))
    assert digest(tmp_path / "a") == expected
    assert {path.name for path in tmp_path.iterdir()} == {"a", ".a.lock"}
