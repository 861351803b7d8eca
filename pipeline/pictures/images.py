"""Read any folder of pictures: with an index (CSV), or with one folder per class.

The index is read and every file is checked to exist without decoding pictures, so mistakes show
before any expensive work. The pixels are read by pipeline.pictures.pixels.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import pandas as pd
from torch import Tensor

from naflow.errors import BadInput, near_names
from naflow.raster import ENDINGS

Box = tuple[float, float, float, float]  # x0, y0, x1, y1 in pixels
FITS = ("crop", "centre", "stretch", "box")


@dataclass(frozen=True)
class Picture:
    """One picture: its files, its class, and its split.

    `box` is x0, y0, x1, y1 in pixels of the file. `mask` and `box` are None if unknown. `group` is
    the group of its class: groups share no class, as few-shot learning and retrieval require.
    """

    id: str
    image: Path
    label: str
    split: str
    mask: Path | None = None
    box: Box | None = None
    group: str = "base"


@dataclass(frozen=True)
class Part:
    """Some pictures of a folder: those of a group of classes and of a split; None: all.

    each  at most so many pictures of each class, the first ones
    """

    group: str | None = None
    split: str | None = None
    each: int | None = None


class Folder:
    """The pictures of one folder, in a fixed order.

    root     the folder
    name     its name in messages and results
    index    a CSV file, its path relative to root; None: one folder per class
    columns  names of the index's columns: id, image, mask, label, split, group, box (four names).
             Only image and label must exist; without the others, ids are the image paths, and every
             class is in the group "base"
    select   column -> value: other rows are left out
    splits   our split (train, val, test) -> its name in the index, None for no such split. Without
             a split column, pictures are assigned by their id: 70 % train, 10 % val, 20 % test
    classes  the class names in order; None: all labels of the selected rows, sorted
    groups   group -> its classes, if there is no column for it; other classes are in "base"
    fit      how a picture becomes a square: one of FITS (see pipeline.pictures.pixels.square)
    elsewhere  another folder in which the index may name files; None: in `root` alone

    Raises BadInput, naming the file, row or column that cannot be used.
    """

    def __init__(
        self,
        root: str,
        name: str,
        index: str | None = None,
        columns: Mapping[str, object] | None = None,
        select: Mapping[str, object] | None = None,
        splits: Mapping[str, str | None] | None = None,
        classes: Sequence[str] | None = None,
        groups: Mapping[str, Sequence[str]] | None = None,
        fit: str = "crop",
        elsewhere: str | None = None,
    ) -> None:
        self.root, self.name, self.fit = Path(root), name, fit
        if not self.root.is_dir():
            raise BadInput(
                f"images.root={root}: there is no such folder. Make it, or give the right path."
            )
        check_fit(fit)
        self.splits = dict(splits or {"train": "train", "val": "val", "test": "test"})
        if index is None:
            self.pictures = _from_class_folders(self.root)
        else:
            # As plain values: Hydra's settings are slow to look up in every row.
            plain: dict[str, Any] = dict(columns or {})
            plain |= {"box": list(plain.get("box", ()))}
            places = [self.root, Path(elsewhere)] if elsewhere else [self.root]
            self.pictures = _from_index(self.root / index, places, plain, dict(select or {}))
        present = sorted({picture.label for picture in self.pictures})
        self.classes = list(classes) if classes is not None else present
        unknown = [label for label in present if label not in self.classes]
        if unknown:
            raise BadInput(
                f"{self.root}: class {unknown[0]!r} is not among images.classes."
                f"{near_names(unknown[0], self.classes)}"
            )

        self.pictures = _grouped(self.pictures, dict(groups or {}), self.classes)

    def part(self, part: Part) -> tuple[list[str], list[Picture]]:
        """Return the classes and the pictures of a part. Raises BadInput if there are none."""
        folder = self if part.group is None else self.group(part.group)
        pictures = folder.pictures if part.split is None else folder.split(part.split)
        if part.each is not None:
            place: Counter[str] = Counter()
            first = []
            for picture in pictures:
                place[picture.label] += 1
                if place[picture.label] <= part.each:
                    first.append(picture)
            pictures = first
        return folder.classes, pictures

    def of_id(self, key: str) -> Picture:
        """Return the picture with this id. Raises BadInput, with similar ids, if there is none."""
        for picture in self.pictures:
            if picture.id == key:
                return picture
        ids = [picture.id for picture in self.pictures]
        raise BadInput(f"{self.root}: there is no picture {key!r}.{near_names(key, ids)}")

    def group(self, name: str) -> Self:
        """Return the folder with only the classes of one group. Raises BadInput if there are
        none."""
        part = copy(self)
        part.pictures = [picture for picture in self.pictures if picture.group == name]
        if not part.pictures:
            groups = sorted({picture.group for picture in self.pictures})
            raise BadInput(
                f"{self.root}: no class is in group {name!r} (the groups here are "
                f"{', '.join(groups)}). Name the index's column of groups in images.columns.group."
            )
        present = {picture.label for picture in part.pictures}
        part.classes = [label for label in self.classes if label in present]
        return part

    def bank_labels(self) -> Tensor:
        """Return the classes of a published memory bank's vectors. Raises BadInput here: only
        ImageNet knows them."""
        raise BadInput(
            f"{self.root}: nothing tells the classes of a published memory bank's vectors; only "
            "images=imagenet does. Name pictures instead: recipe.verify.known."
        )

    def split(self, name: str) -> list[Picture]:
        """Return the pictures of our split `name`. Raises BadInput if there are none."""
        theirs = self.splits.get(name)
        chosen = [
            picture for picture in self.pictures if theirs is not None and picture.split == theirs
        ]
        if not chosen:
            found = ", ".join(sorted({repr(picture.split) for picture in self.pictures}))
            raise BadInput(
                f"{self.root}: no picture is in split {name!r} (images.splits.{name}={theirs}); "
                f"the splits here are {found}."
            )
        return chosen


def _grouped(
    pictures: list[Picture], groups: dict[str, Sequence[str]], classes: Sequence[str]
) -> list[Picture]:
    group_of = {label: name for name, labels in groups.items() for label in labels}
    for label, name in group_of.items():
        if label not in classes:
            raise BadInput(
                f"images.groups.{name}: there is no class {label!r}.{near_names(label, classes)}"
            )
    return [replace(one, group=group_of.get(one.label, one.group)) for one in pictures]


def check_fit(fit: str) -> None:
    """Raise BadInput for an unknown way to fit."""
    if fit not in FITS:
        raise BadInput(
            f"fit={fit!r}: it is no way to make a picture square.{near_names(fit, FITS)}"
        )


def _from_class_folders(root: Path) -> list[Picture]:
    files = sorted(f for f in root.glob("*/*") if f.suffix.lower() in ENDINGS)
    if not files:
        raise BadInput(
            f"{root}: no pictures in class folders (root/class/*.jpg); "
            "for another layout give images.index."
        )
    for file in files:
        if not file.is_file():
            raise BadInput(f"{file} is no file: take it out of {file.parent}, or rename it.")
    keys = [file.relative_to(root).as_posix() for file in files]
    return [
        Picture(key, file, file.parent.name, dealt(key))
        for key, file in zip(keys, files, strict=True)
    ]


def dealt(key: str) -> str:
    """Return the split of a picture without one, by its id, so that new pictures do not change the
    splits of others."""
    share = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4]) / 2**32
    return "train" if share < 0.7 else "val" if share < 0.8 else "test"


def _from_index(index: Path, places: Sequence[Path], columns: dict, select: dict) -> list[Picture]:
    table = _read(index)
    for column in (columns.get("image", "image"), columns.get("label", "class"), *select):
        if column not in table:
            raise BadInput(f"{index} has no column {column!r}.{near_names(column, table.columns)}")
    for column, value in select.items():
        values = table[column].unique()
        table = table[table[column] == str(value)]
        if table.empty:
            raise BadInput(
                f"{index}: no row has {column}={value!r} together with the other selections."
                f"{near_names(str(value), values)}"
            )
    pictures = [
        _picture(row, f"{index}, line {line + 2}", places, columns)
        for line, row in zip(table.index, table.to_dict("records"), strict=True)
    ]
    double = pd.Series([picture.id for picture in pictures]).duplicated()
    if double.any():
        raise BadInput(
            f"{index}: id {pictures[double.argmax()].id!r} stands on more than one selected row."
        )
    return pictures


def _read(index: Path) -> pd.DataFrame:
    if not index.is_file():
        raise BadInput(
            f"{index}: there is no such index. Give images.index relative to images.root."
        )
    try:
        return pd.read_csv(index, dtype=str, keep_default_na=False, compression=None)
    except ValueError as error:  # pandas' own errors, and those of text in another encoding
        raise BadInput(f"{index} cannot be read as CSV: {str(error).strip()}.") from None


def _picture(row: Mapping[str, str], where: str, places: Sequence[Path], columns: dict) -> Picture:
    def cell(key: str, default: str) -> str:
        return row.get(columns.get(key, default), "")

    image, mask, label = cell("image", "image"), cell("mask", "mask"), cell("label", "class")
    for column, value in (("image", image), ("label", label)):
        if not value:
            raise BadInput(
                f"{where}: the {column} is empty. "
                "Fill it in, or leave the row out with images.select."
            )
    # As they are checked: a link before a ".." would lead elsewhere.
    files = [Path(os.path.normpath(places[0] / file)) for file in (image, mask) if file]
    for file in files:
        if not any(_lies_in(file, place) for place in places):
            raise BadInput(
                f"{where}: {file} lies outside {' and '.join(map(str, places))}. Put it there, or, "
                "if you trust this index, let images.elsewhere name the folder it lies in."
            )
        if not file.is_file():
            raise BadInput(f"{where}: {file} does not exist.")
    key = cell("id", "id") or image
    split = cell("split", "split") or dealt(key)
    box = _box([row.get(name, "") for name in columns.get("box", ())], where)
    group = cell("group", "group") or "base"
    return Picture(key, files[0], label, split, files[1] if mask else None, box, group)


def _lies_in(file: Path, folder: Path) -> bool:
    """Whether the path leads into the folder; the folder's own links may lead out of it again."""
    named = Path(os.path.abspath(file)).is_relative_to(os.path.abspath(folder))
    return named or Path(os.path.realpath(file)).is_relative_to(os.path.realpath(folder))


def _box(cells: list[str], where: str) -> Box | None:
    if not any(cells):
        return None
    try:
        x0, y0, x1, y1 = (float(cell) for cell in cells)
    except ValueError:
        raise BadInput(f"{where}: the box {cells} is not four numbers x0, y0, x1, y1.") from None
    if not (x0 < x1 and y0 < y1):
        raise BadInput(f"{where}: the box {cells} is empty; x0 < x1 and y0 < y1 are needed.")
    return x0, y0, x1, y1
