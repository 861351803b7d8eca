"""Stage `gather`: the photographs of the profile `photographs`, as a folder of pictures.

    python -m pipeline.gather                               # those that scikit-image brings
    PHOTOGRAPHS=/where/yours/lie python -m pipeline.gather  # and your own before them

Nothing is downloaded, and your own photographs stay where they are: the index lists them with their
sizes in bytes, so DVC need not read them. A class of one picture gets the mirrored picture as its
second one, so that an embedding has a similar picture to retrieve.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
from omegaconf import DictConfig
from PIL import ImageOps

from naflow import raster
from naflow.atomic import locked, replacing
from naflow.cli.demo import Photograph
from naflow.errors import BadInput, near_names
from naflow.models.imagenet import class_names
from pipeline.app import stage
from pipeline.pictures.images import Box, Folder, Picture
from pipeline.pictures.labels import spoken

CORNERS = ("x0", "y0", "x1", "y1")
MIRRORED = "mirrored"  # the folder of the mirrored copies, and the end of their ids
OWN = {"group": "group", "box": CORNERS}  # columns without default in the index of own photographs


@stage
def main(cfg: DictConfig) -> None:
    """Gather the photographs."""
    gather(cfg.photographs)


def gather(photographs: DictConfig) -> Path:
    """Write the folder that conf/images/photographs.yaml reads; return the path of its index.

    Raises BadInput if scikit-image is not installed, or photographs.folder cannot be used.
    """
    root = Path(photographs.root)
    with locked(root):
        known = [copied(root, key, one) for key, one in photographs.known.items()]
        own = yours(Path(photographs.folder)) if photographs.folder else []
        pictures = between(own, known, photographs.before)
        whole = [*pictures, *(mirrored(root, one) for one in alone(pictures))]
        index = root / "index.csv"
        with replacing(index) as partial:
            table(root, whole).to_csv(partial, index=False, lineterminator="\n")
    return index


def copied(root: Path, key: str, one: DictConfig) -> Picture:
    """Copy a photograph of scikit-image into `root`, and return it. Raises BadInput if it is not
    installed."""
    installed = Photograph(one.file, one.author, one.licence).path
    image = root / "known" / one.file
    content = raster.content(installed, str(installed))
    if not image.is_file() or image.read_bytes() != content:
        with replacing(image) as partial:
            partial.write_bytes(content)
    return Picture(key, image, one["class"], "test", box=one.box and tuple(one.box))


def yours(folder: Path) -> list[Picture]:
    """Return the pictures of a folder, as listed in its index.csv, else with one folder per class.

    Raises BadInput if there are none, or ImageNet does not have one of the classes.
    """
    if not folder.is_dir():
        raise BadInput(
            f"photographs.folder={folder}: there is no such folder. Let the environment variable "
            "PHOTOGRAPHS name yours, or unset it."
        )
    index = "index.csv" if (folder / "index.csv").is_file() else None
    pictures = Folder(str(folder), "photographs", index, OWN).pictures
    names = class_names()
    by_word = {word(name): name for name in names}
    for label in dict.fromkeys(one.label for one in pictures):
        if word(label) not in by_word:
            raise BadInput(
                f"{folder}: ImageNet has no class {label!r}, and its networks can only decide for "
                f"those it has.{near_names(spoken(label), names)} Rename it, or take it out; "
                "naflow explain takes photographs without a class."
            )
    return [replace(one, label=by_word[word(one.label)], split="test") for one in pictures]


def word(label: str) -> str:
    """Return a label in the form that is compared: "n02124075 Egyptian_cat" -> "egyptian cat"."""
    return spoken(label).casefold()


def between(own: Sequence[Picture], known: Sequence[Picture], classes: int) -> list[Picture]:
    """Insert the known pictures after the first `classes` classes of the user's own: near enough to
    the beginning to be explained, and measured by their boxes."""
    first = list(dict.fromkeys(one.label for one in own))[:classes]
    before = [one for one in own if one.label in first]
    return [*before, *known, *(one for one in own if one.label not in first)]


def alone(pictures: Sequence[Picture]) -> Iterator[Picture]:
    """Return the pictures that are the only ones of their class."""
    counts = Counter(one.label for one in pictures)
    return (one for one in pictures if counts[one.label] == 1)


def mirrored(root: Path, one: Picture) -> Picture:
    """Write the picture, mirrored left to right, into `root`, and return it without a mask."""
    image = ImageOps.mirror(raster.rgb(raster.content(one.image, str(one.image)), str(one.image)))
    name = hashlib.sha256(one.id.encode()).hexdigest()[:16]  # an id may be any path
    path = root / MIRRORED / f"{name}.png"
    with replacing(path) as partial:
        image.save(partial)
    box = one.box and turned(one.box, image.width)
    return replace(one, id=f"{one.id}_{MIRRORED}", image=path, mask=None, box=box)


def turned(box: Box, width: int) -> Box:
    """Return the box in the mirrored picture. width: of the picture, pixels."""
    x0, y0, x1, y1 = box
    return width - x1, y0, width - x0, y1


def table(root: Path, pictures: Sequence[Picture]) -> pd.DataFrame:
    """Return one row per picture, with its files relative to `root`."""
    rows = []
    for one in pictures:
        row = {"id": one.id, "class": one.label, "split": one.split}
        for name, file in (("image", one.image), ("mask", one.mask)):
            row[name] = "" if file is None else os.path.relpath(file, root)
            row[f"{name}_bytes"] = "" if file is None else str(file.stat().st_size)
        rows.append(row | dict(zip(CORNERS, one.box or ("",) * 4, strict=True)))
    return pd.DataFrame(rows)


if __name__ == "__main__":
    main()
