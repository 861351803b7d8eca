"""ImageNet's labels: wnids, ILSVRC ids, and the indices of networks' outputs.

A class is its WordNet id (wnid). Its index, also in the outputs of published networks, is its
position among the sorted wnids. The devkit numbers the classes in another order, and its ground
truth holds these ILSVRC ids: read as indices, they would give wrong labels without an error.
"""

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from naflow.errors import BadInput

WNID = re.compile(r"n\d{8}")


def order(path: Path) -> list[str]:
    """Return the wnids of the classes; item n - 1 is that of ILSVRC id n.

    `path` is the devkit's meta.mat (which needs SciPy), or a text file whose line n begins with the
    wnid of ILSVRC id n. Raises BadInput for anything else.
    """
    if path.suffix == ".mat":
        return [wnid for wnid, _ in _leaves(path)]
    lines = path.read_text("utf-8", "replace").splitlines()
    wnids = [(line.split() or [""])[0] for line in lines]
    for number, (wnid, line) in enumerate(zip(wnids, lines, strict=True), start=1):
        if not WNID.fullmatch(wnid) or wnid in wnids[: number - 1]:
            raise BadInput(
                f"{path}, line {number}: {line!r} does not begin with a new wnid like n01440764."
            )
    return wnids


def in_words(wnids: Sequence[str]) -> dict[str, str]:
    """Return wnid -> name of the class: the wnid and, for the 1000 classes of ILSVRC-2012, its
    word, as in "n01440764 tench". The wnid distinguishes the two cranes, and keeps the order.
    """
    if len(wnids) != 1000:  # other classes, whose words are unknown
        return {wnid: wnid for wnid in wnids}
    from torchvision.models import ResNet18_Weights

    words = ResNet18_Weights.IMAGENET1K_V1.meta["categories"]
    return {wnid: f"{wnid} {word}" for wnid, word in zip(sorted(wnids), words, strict=True)}


def label_of(path: Path, wnids: list[str]) -> dict[str, str]:
    """Return the wnid of each picture, by its file's name without suffix.

    `path` is a text file of one of two kinds. With one number per line, it is the devkit's ground
    truth: line n is the ILSVRC id of ILSVRC2012_val_n, and `wnids` must be in the order of these
    ids. With lines "file index", it is the list that came with Caffe: an index, from 0, into the
    sorted wnids. Raises BadInput for any other line, and for a ground truth with sorted `wnids`, an
    order that no devkit has.
    """
    lines = [line.split() for line in path.read_text("utf-8", "replace").splitlines()]
    truth = all(len(words) == 1 for words in lines)
    if truth and wnids == sorted(wnids):
        raise BadInput(
            f"{path} holds ILSVRC ids, but the list of synsets is sorted by wnid, so its order "
            "tells nothing about them. Give images.synsets=meta.mat from the devkit."
        )
    start, known = (1, wnids) if truth else (0, sorted(wnids))
    found = {}
    for number, words in enumerate(lines, start=1):
        try:
            file, index = (f"ILSVRC2012_val_{number:08d}", *words) if truth else words
            if not 0 <= int(index) - start < len(known):
                raise ValueError
        except ValueError:
            form = "ILSVRC ids alone" if truth else "a file and its index among the sorted wnids"
            raise BadInput(
                f"{path}, line {number}: {' '.join(words)!r}. The lines of such a list must be "
                f"{form}, from {start} to {len(known) - 1 + start}."
            ) from None
        found[PurePosixPath(file).stem] = known[int(index) - start]
    return found


def training_counts(path: Path) -> dict[str, int]:
    """Return wnid -> number of training pictures, from the devkit's meta.mat.

    Raises BadInput for any other file.
    """
    if path.suffix != ".mat":
        raise BadInput(
            f"{path} does not tell how many training pictures a class has: give "
            "images.synsets=meta.mat from the devkit."
        )
    return dict(_leaves(path))


def _leaves(path: Path) -> list[tuple[str, int]]:
    """Return the wnid and number of training pictures of every class, in the order of ILSVRC ids.

    The rows of meta.mat without children are the classes; the others are their hypernyms.
    """
    try:
        from scipy.io import loadmat
    except ImportError:
        raise BadInput(
            f"{path}: SciPy is needed to read it. Install scipy, or give images.synsets, a text "
            "file whose line n begins with the wnid of ILSVRC id n."
        ) from None
    try:
        rows = np.atleast_1d(loadmat(path, squeeze_me=True)["synsets"])
        leaves = rows[rows["num_children"] == 0]
        ids = leaves["ILSVRC2012_ID"].astype(int)
        counts = leaves["num_train_images"].astype(int).tolist()
        told = zip(leaves["WNID"].tolist(), counts, strict=True)
        of_id = dict(zip(ids.tolist(), told, strict=True))
        return [of_id[number] for number in range(1, len(leaves) + 1)]
    except Exception as error:  # SciPy raises many kinds for a damaged file
        raise BadInput(f"{path} is damaged or not the devkit's meta.mat ({error}).") from None
