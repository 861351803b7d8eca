"""How many pictures a set will hold, beside sets that are there."""

import pytest

from pipeline import cub
from pipeline.count import count
from pipeline.pictures.images import Folder, Part

COLUMNS = {"label": "class", "split": "split", "group": "class_split"}


@pytest.mark.parametrize(
    "part",
    [
        {},
        {"group": "base"},
        {"group": "base", "split": "train"},
        {"group": "novel", "split": "test"},
        {"split": "test"},
        {"group": "base", "split": "train", "each": 4},
        {"group": "base", "split": "train", "each": 400},
    ],
)
def test_scenes_are_as_many_as_are_drawn(config, scenes, part):
    cfg = config()
    cfg.scenes.classes = {"base": ["disc", "cross"], "novel": ["key"]}
    cfg.scenes.count = {"base": {"train": 6, "val": 2, "test": 3}, "novel": {"test": 2}}
    _, pictures = Folder(str(scenes), "shapes", "index.csv", COLUMNS).part(Part(**part))
    shown = {one.label for one in pictures}
    assert count(cfg, "shapes", part) == (len(pictures), len(shown))


def test_birds_are_counted_as_published(config):
    cfg = config()
    assert count(cfg, "cub", {"group": "base"}) == (5903, 100)
    assert count(cfg, "cub", {"group": "novel"}) == (2958, 50)
    assert count(cfg, "cub_retrieval", {"group": "novel"}) == (5924, 100)
    assert sum(cub.COUNTS["split"].values()) == 11_788
    assert count(cfg, "cub", {"group": "base", "split": "train"}) is None
    assert count(cfg, "imagenet", {"split": "test"}) == (50_000, 1000)


def test_ones_own_photographs_count(config, tmp_path):
    cfg = config()
    assert count(cfg, "photographs", {"split": "test"}).pictures == 2 * len(cfg.photographs.known)
    (tmp_path / "mine" / "cat").mkdir(parents=True)
    for name in ("a.jpg", "b.PNG", "c.txt"):
        (tmp_path / "mine" / "cat" / name).touch()
    cfg.photographs.folder = str(tmp_path / "mine")
    assert count(cfg, "photographs", {}).pictures == 2 * (len(cfg.photographs.known) + 2)


def test_other_pictures_are_not_known(config):
    assert count(config(), "mine", {"split": "test"}) is None
