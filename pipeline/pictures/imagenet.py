"""The validation set of ImageNet-2012 as a folder of pictures, from the files its users have.

It is never downloaded. Three layouts of a folder are read:

    val/n01440764/ILSVRC2012_val_00000293.JPEG     one folder per class
    val/ILSVRC2012_val_00000293.JPEG               with a file of labels and a list of synsets
    ILSVRC2012_img_val.tar                         with ILSVRC2012_devkit_t12.tar.gz

The folder may also be val itself. Archives are unpacked once to val/ beside them, whole or not at
all, with one folder per class, as torchvision.datasets.ImageNet does.

What the labels mean: pipeline.pictures.synsets. Boxes of the objects, which are published
separately, are read if they exist: pipeline.pictures.annotations.
"""

import re
import shutil
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from naflow.errors import BadInput
from pipeline.downloads.archives import unpack
from pipeline.pictures.annotations import boxes as read_boxes
from pipeline.pictures.images import ENDINGS, Box, Folder, Picture, check_fit
from pipeline.pictures.synsets import WNID, in_words, label_of, order, training_counts

TAR, DEVKIT = "ILSVRC2012_img_val.tar", "ILSVRC2012_devkit_t12"
BOXES = "ILSVRC2012_bbox_val_v3"
TRUTH = "ILSVRC2012_validation_ground_truth.txt"
# The usual places of labels, synsets and boxes in the folder.
USUAL = {
    "labels": [TRUTH, f"{DEVKIT}/data/{TRUTH}", "val.txt"],
    "synsets": ["meta.mat", f"{DEVKIT}/data/meta.mat", "synsets.txt"],
    "boxes": [f"{BOXES}.tgz", BOXES, "Annotations/CLS-LOC/val"],
}
NUMBERED = re.compile(r"ILSVRC2012_val_\d{8}\.\w+")


class ImageNet(Folder):
    """The validation set, or some pictures of it, as a Folder; all are in our split test.

    root     the folder; None raises BadInput
    labels   for pictures outside class folders, see `label_of`; None: from its usual place
    synsets  the classes, see `order`; None: from its usual place. 1000 class folders need none
    boxes    the published boxes, see `annotations.boxes`; None: from their usual place, if there
             are any; False: do not read them
    fit      how a picture becomes a square (see pipeline.pictures.pixels)

    Pictures are in the order of their ids, the files' names without suffix; a label is a wnid and
    its word (see `in_words`). `classes` are in the order of the wnids and include those without
    pictures. Raises BadInput, saying what is missing, or which file and line is wrong.
    """

    def __init__(
        self,
        root: str | None,
        name: str = "imagenet",
        labels: str | None = None,
        synsets: str | None = None,
        boxes: str | bool | None = None,
        fit: str = "crop",
    ) -> None:
        if root is None or not Path(root).is_dir():
            raise BadInput(
                f"images.root={root}: there is no such folder. Set the environment variable "
                "IMAGENET, or images.root, to the folder of ImageNet-2012's validation set. It is "
                "not downloaded here: image-net.org gives it to those who register."
            )
        check_fit(fit)
        self.root, self.name, self.fit = Path(root), name, fit
        self.splits = {"train": None, "val": None, "test": "validation"}
        val = self.root / "val"
        if (self.root / TAR).is_file() and not val.exists():
            wnids = order(_found(self.root, "synsets", synsets))
            known = label_of(_found(self.root, "labels", labels), wnids)
            _into_class_folders(self.root / TAR, known, wnids)
        val = val if val.is_dir() else self.root
        folders = sorted(f for f in val.iterdir() if WNID.fullmatch(f.name) and f.is_dir())
        files = [file for file in _pictures(val) if NUMBERED.fullmatch(file.name)]
        if bool(folders) == bool(files):
            raise BadInput(
                f"{val} holds {'both' if files else 'neither'} class folders like n01440764 "
                f"{'and' if files else 'nor'} pictures like ILSVRC2012_val_00000293.JPEG; one of "
                f"the two is needed, or else {TAR} and {DEVKIT}.tar.gz in {self.root}."
            )
        if len(folders) == 1000 and synsets is None:
            wnids = [folder.name for folder in folders]
        else:
            wnids = order(_found(self.root, "synsets", synsets))
        self.wnids = sorted(wnids)
        words = in_words(self.wnids)
        self.classes = [words[wnid] for wnid in self.wnids]
        if folders:
            found = _in_folders(folders, wnids)
        else:
            found = _numbered(files, _found(self.root, "labels", labels), wnids)
        box_of = _boxes(self.root, boxes)
        self.pictures = [
            replace(one, label=words[one.label], box=box_of.get(one.id))
            for one in sorted(found, key=lambda picture: picture.id)
        ]
        self._synsets = synsets

    def bank_labels(self) -> Tensor:
        """Return the class of every training picture, in the order of torchvision's ImageFolder.

        The pictures themselves are not needed, only their counts in the devkit's meta.mat.
        """
        counts = training_counts(_found(self.root, "synsets", self._synsets))
        each = torch.tensor([counts[wnid] for wnid in self.wnids])
        return torch.arange(len(each)).repeat_interleave(each)


def _in_folders(folders: list[Path], wnids: list[str]) -> list[Picture]:
    if strange := sorted({folder.name for folder in folders} - set(wnids)):
        raise BadInput(f"{folders[0].parent}: {strange[0]} is none of the {len(wnids)} classes.")
    found: dict[str, Picture] = {}
    for file in (file for folder in folders for file in _pictures(folder)):
        if file.stem in found:
            raise BadInput(f"{file} and {found[file.stem].image} have the same name.")
        found[file.stem] = Picture(file.stem, file, file.parent.name, "validation")
    if not found:
        raise BadInput(f"{folders[0].parent}: its class folders hold no pictures.")
    return list(found.values())


def _numbered(files: list[Path], labels: Path, wnids: list[str]) -> list[Picture]:
    known = label_of(labels, wnids)
    for file in files:
        if file.stem not in known:
            raise BadInput(f"{labels} has no label for {file}.")
    return [Picture(file.stem, file, known[file.stem], "validation") for file in files]


def _pictures(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in ENDINGS)


def _found(root: Path, setting: str, given: str | None) -> Path:
    """Return the file that images.`setting` names, or the one in its usual place; the devkit is
    unpacked if necessary. Raises BadInput if there is none."""
    devkit = root / f"{DEVKIT}.tar.gz"
    if given is None and devkit.is_file() and not (root / DEVKIT).exists():
        with _unpacked(devkit) as folder:
            (folder / DEVKIT).rename(root / DEVKIT)
    names = USUAL[setting] if given is None else [given]
    for name in names:
        if (root / name).is_file():
            return root / name
    raise BadInput(
        f"{root}: a file of {setting} is needed here, and there is no {' or '.join(names)}. Put "
        f"{devkit.name} there, or give images.{setting}."
    )


def _boxes(root: Path, given: str | bool | None) -> Mapping[str, Box]:
    """Return the boxes that images.boxes names, or those in their usual place, or none."""
    if given is False:
        return {}
    names = USUAL["boxes"] if given is None or given is True else [given]
    for name in names:
        if (root / name).exists():
            return read_boxes(root / name)
    if given is None:
        return {}
    raise BadInput(
        f"images.boxes={given}: there is no {' or '.join(names)} in {root}. image-net.org gives "
        f"{BOXES}.tgz; or leave boxes out: images.boxes=false."
    )


def _into_class_folders(tar: Path, known: dict[str, str], wnids: list[str]) -> None:
    """Unpack the pictures in `tar` into class folders in val/ beside it, whole or not at all.
    known: name of a picture's file without suffix -> wnid."""
    with _unpacked(tar) as folder:
        files = _pictures(folder)
        if {file.stem for file in files} != known.keys():
            raise BadInput(
                f"{tar} holds {len(files)} pictures, not the {len(known)} that have labels."
            )
        for wnid in wnids:
            (folder / wnid).mkdir()
        for file in files:
            file.rename(folder / known[file.stem] / file.name)
        folder.rename(tar.with_name("val"))


@contextmanager
def _unpacked(archive: Path) -> Generator[Path]:
    """Unpack an archive to a folder beside it, which is removed at the end unless it was
    renamed."""
    folder = archive.with_name(archive.name + ".partial")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        unpack(archive, folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
