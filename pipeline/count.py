"""How many pictures a set of conf/images will hold: known before it is there."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig

from naflow.raster import ENDINGS
from pipeline import cub

VALIDATION = 50_000  # pictures of ImageNet's validation set


class Count(NamedTuple):
    """How many pictures, of how many classes."""

    pictures: int
    classes: int


def count(cfg: DictConfig, images: str, part: Mapping[str, Any]) -> Count | None:
    """Those of a part of a set, {group, split, each}; None where that cannot be known before."""
    group, split, each = (part.get(key) for key in ("group", "split", "each"))
    if images == "shapes":
        found = _scenes(cfg.scenes, group, split)
    elif images == "imagenet":
        found = Count(VALIDATION, 1000)
    elif images == "photographs":
        found = _photographs(cfg.photographs)
    elif images in BIRDS and group is not None and split is None:
        column, halves = BIRDS[images]
        found = Count(cub.COUNTS[column][group], halves[group])
    else:
        return None
    return found if each is None else Count(min(found.pictures, each * found.classes), found[1])


BIRDS = {  # the column of CUB's index, and the classes of its groups
    "cub": (
        "few_shot",
        {
            group: [cub.few_shot(number) for number in range(1, 201)].count(group)
            for group in cub.COUNTS["few_shot"]
        },
    ),
    "cub_retrieval": ("retrieval", {"base": 100, "novel": 100}),
}


def _scenes(scenes: DictConfig, group: str | None, split: str | None) -> Count:
    """As `python -m pipeline.data` draws them."""
    groups = [one for one in scenes.count if group in (None, one)]
    each = {
        one: sum(n for name, n in scenes.count[one].items() if split in (None, name))
        for one in groups
    }
    classes = {one: len(scenes.classes[one]) for one in groups if each[one]}
    return Count(sum(each[one] * classes[one] for one in classes), sum(classes.values()))


def _photographs(photographs: DictConfig) -> Count:
    """At most: a picture that is alone of its class gets a mirrored copy."""
    own = photographs.folder and Path(photographs.folder)
    files = own.rglob("*") if own else ()
    names = sum(one.suffix.lower() in ENDINGS for one in files)
    pictures = 2 * (len(photographs.known) + names)
    return Count(pictures, pictures // 2)
