"""Stage `cub`: Caltech-UCSD Birds 200-2011 as a folder of pictures, with both of its class splits.

    python -m pipeline.cub cub.root=data/cub

Downloads and unpacks the two archives unless cub.root exists already (it may be unpacked by hand),
then writes its index.csv. Source: Wah, Branson, Welinder, Perona, Belongie, "The Caltech-UCSD
Birds-200-2011 Dataset", CNS-TR-2011-001, 2011; for non-commercial research.
"""

import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pandas as pd
from filelock import FileLock
from omegaconf import DictConfig

from naflow.errors import BadInput
from naflow.models import Weights
from pipeline.app import stage
from pipeline.atomic import replacing
from pipeline.downloads import published
from pipeline.downloads.archives import unpack
from pipeline.downloads.download import Expected, Unavailable, WrongFile, download
from pipeline.downloads.published import NOWHERE, Elsewhere

Value = TypeVar("Value")

RECORDS = "https://data.caltech.edu/records"
# Address, bytes and sha256 of each archive.
ARCHIVES = {
    "CUB_200_2011.tgz": (
        f"{RECORDS}/65de6-vp158/files/CUB_200_2011.tgz?download=1",
        1_150_585_339,
        "0c685df5597a8b24909f6a7c9db6d11e008733779a671760afef78feb49bf081",
    ),
    "segmentations.tgz": (
        f"{RECORDS}/w9d68-gec53/files/segmentations.tgz?download=1",
        39_272_883,
        "dc77f6cffea0cbe2e41d4201115c8f29a6320ecb04fffd2444f51b8066e4b84f",
    ),
}
# Number of pictures in each part of the whole data set.
COUNTS = {
    "split": {"train": 5994, "test": 5794},
    "few_shot": {"base": 5903, "val": 2927, "novel": 2958},
    "retrieval": {"base": 5864, "novel": 5924},
}


@stage
def main(cfg: DictConfig) -> None:
    """Prepare the folder that conf/images/cub.yaml reads."""
    prepare(cfg.cub, cfg.quiet, published.read(cfg.fetch.published))


def prepare(cub: DictConfig, quiet: bool | None = None, instead: Elsewhere = NOWHERE) -> None:
    """Fetch `cub.root` if it does not exist, whole or not at all, and write its index.

    The archives stay in `cub.archives`. If several processes need the folder, one prepares it and
    the others wait. Raises BadInput as `download`, `unpack` and `write` do, and if `cub.root`
    cannot be written.
    """
    root = Path(cub.root)
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(root.with_name(f".{root.name}.lock")):
            if root.exists() and any(root.iterdir()):
                return write(root)
            partial = root.with_name(root.name + ".partial")
            shutil.rmtree(partial, ignore_errors=True)
            fetch(partial, Path(cub.archives), cub.mirror, quiet, instead)
            write(partial)
            partial.rename(root)
    except OSError as error:
        raise BadInput(
            f"cub.root={root} cannot be written as a folder: {error.strerror or error}."
        ) from None


def fetch(
    root: Path, archives: Path, mirror: str | None, quiet: bool | None, instead: Elsewhere
) -> None:
    """Download both archives into `archives` and unpack them into `root`."""
    for name, files in addresses(instead).items():
        reasons, kind = [], Unavailable
        for one in files:
            known = Expected(one.size, sha256=one.sha256)
            try:
                download([one.address], archives / name, known, mirror=mirror, quiet=quiet)
                break
            except (Unavailable, WrongFile) as error:
                reasons, kind = [*reasons, str(error)], type(error)
        else:
            raise kind(" ".join(dict.fromkeys(reasons)))
        unpack(archives / name, root)


def addresses(instead: Elsewhere = NOWHERE) -> dict[str, tuple[Weights, ...]]:
    """Return the files of each archive, the first one tried first; those of `instead` if it names
    the archive."""
    return {name: instead.get(name, (Weights(*told),)) for name, told in ARCHIVES.items()}


def write(root: Path) -> None:
    """Write root/index.csv, with paths relative to `root`.

    Raises BadInput as `table` does, and if the file cannot be written.
    """
    index = table(root)
    try:
        with replacing(root / "index.csv") as partial:
            index.to_csv(partial, index=False)
    except OSError as error:
        raise BadInput(
            f"{root}: no index.csv can be written there ({error.strerror}). Make the folder "
            "writable, or make a folder of your own with links to CUB_200_2011 and segmentations."
        ) from None


def table(root: Path) -> pd.DataFrame:
    """Return one row for each line of images.txt, in its order.

    `root` is CUB_200_2011 or the folder around it; segmentations is in CUB_200_2011 or beside it.
    id and class_id are the data set's own, from 1; boxes are in pixels; split is the official one.
    Raises BadInput, naming file and line, for files that are missing, malformed or contradict each
    other.
    """
    birds = root / "CUB_200_2011" if (root / "CUB_200_2011").is_dir() else root
    masks = _masks(birds)
    classes = listed(birds / "classes.txt", "a name", str)
    images = listed(birds / "images.txt", "a path", str)
    labels = listed(birds / "image_class_labels.txt", "a class number", int, images)
    name_of = {"0": "test", "1": "train"}.__getitem__
    splits = listed(birds / "train_test_split.txt", "0 or 1", name_of, images)
    boxes = listed(birds / "bounding_boxes.txt", "x y width height", corners, images)
    rows = []
    for line, (key, path) in enumerate(images.items(), start=1):
        image, mask = birds / "images" / path, (masks / path).with_suffix(".png")
        label, where = labels[key], f"{birds / 'images.txt'}, line {line}"
        for file in (image, mask):
            if not file.is_file():
                raise BadInput(f"{where}: {file} does not exist. Unpack its archive again.")
        if classes.get(label) != image.parent.name:
            raise BadInput(
                f"{where}: {path} is not in a folder named after its class, which is {label} "
                f"({classes.get(label, 'a number that classes.txt lacks')})."
            )
        row = {
            "id": key,
            "image": os.path.relpath(image, root),
            "mask": os.path.relpath(mask, root),
            "bytes": image.stat().st_size,
            "mask_bytes": mask.stat().st_size,
            "class": classes[label],
            "class_id": label,
            "split": splits[key],
            "few_shot": few_shot(label),
            "retrieval": "base" if label <= 100 else "novel",
        }
        rows.append(row | dict(zip(("x0", "y0", "x1", "y1"), boxes[key], strict=True)))
    found = pd.DataFrame(rows)
    if len(classes) == 200:
        check(found, birds)
    return found


def few_shot(class_id: int) -> str:
    """Return the part of class 1..200 in few-shot learning, by the rule of FRN (Wertheimer, Tang,
    Hariharan, CVPR 2021): every second class is base, the rest are val and novel in turn.
    """
    return "base" if class_id % 2 == 0 else "val" if class_id % 4 == 1 else "novel"


def corners(box: str) -> tuple[float, float, float, float]:
    """Return corners x0, y0, x1, y1 of "x y width height". Raises ValueError if that is no box."""
    x, y, width, height = (float(cell) for cell in box.split())
    if not (math.isfinite(x + y + width + height) and width > 0 and height > 0):
        raise ValueError("an empty box")
    return x, y, x + width, y + height


def listed(
    path: Path, form: str, parse: Callable[[str], Value], ids: dict | None = None
) -> dict[int, Value]:
    """Read a file of lines "id value" as id -> parse(value), for exactly `ids` if they are given.

    form: what a value looks like, for messages. Raises BadInput for a missing or malformed file.
    """
    if not path.is_file():
        raise BadInput(f"{path} does not exist. Unpack CUB_200_2011.tgz, or empty the folder.")
    values: dict[int, Value] = {}
    for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), start=1):
        key, _, value = line.partition(" ")
        try:
            known = int(key) in values
            values[int(key)] = parse(value)
        except (ValueError, KeyError):
            raise BadInput(f"{path}, line {number}: {line!r} is not an id and {form}.") from None
        if known:
            raise BadInput(f"{path}, line {number}: id {key} has a line already.")
        if ids is not None and int(key) not in ids:
            raise BadInput(f"{path}, line {number}: id {key} is not in images.txt.")
    if not values:
        raise BadInput(f"{path} is empty. Unpack CUB_200_2011.tgz again.")
    if missing := sorted((ids or {}).keys() - values.keys()):
        raise BadInput(f"{path}: id {missing[0]} of images.txt has no line.")
    return values


def check(found: pd.DataFrame, birds: Path) -> None:
    """Raise BadInput, with both numbers, if a part does not have its full number of pictures."""
    for column, parts in COUNTS.items():
        for part, count in parts.items():
            if (has := int((found[column] == part).sum())) != count:
                raise BadInput(
                    f"{birds / 'images.txt'}: {has} pictures are in {column} part {part!r}, where "
                    f"CUB-200-2011 has {count}. Unpack CUB_200_2011.tgz again."
                )


def _masks(birds: Path) -> Path:
    for folder in (birds / "segmentations", birds.parent / "segmentations"):
        if folder.is_dir():
            return folder
    raise BadInput(
        f"{birds}: there is no folder segmentations in it or beside it. "
        "Unpack segmentations.tgz there; it is an archive of its own."
    )


if __name__ == "__main__":
    main()
