"""ImageNet's validation set: the same pictures and labels from every layout, and no wrong ones."""

import shutil
import sys
import tarfile

import numpy as np
import pytest
import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from made_annotations import annotated
from omegaconf import OmegaConf
from PIL import Image

from naflow.errors import BadInput
from pipeline.app import CONF
from pipeline.downloads.archives import unpack
from pipeline.pictures.imagenet import BOXES, DEVKIT, TAR, TRUTH, ImageNet
from pipeline.pictures.images import Part, Picture
from pipeline.pictures.pixels import read
from pipeline.pictures.synsets import label_of, order

# By ILSVRC id, from 1, in no sorted order, as in the devkit.
WNIDS = ["n03000000", "n01000000", "n04000000", "n02000000"]
# Class of pictures 1 to 6, by wnid, and the same as ILSVRC ids and as sorted indices.
LABELS = ["n01000000", "n03000000", "n04000000", "n04000000", "n02000000", "n01000000"]
IDS = [2, 1, 3, 3, 4, 2]
INDICES = [0, 2, 3, 3, 1, 0]
STEMS = [f"ILSVRC2012_val_{n:08d}" for n in range(1, 7)]


def jpegs(folder, stems=STEMS):
    folder.mkdir(parents=True, exist_ok=True)
    for stem in stems:
        shade = 40 * int(stem[-1])
        Image.new("RGB", (8, 8), (shade, shade, shade)).save(folder / f"{stem}.JPEG")


def meta(path):
    """meta.mat with the devkit's fields: leaves among inner nodes, not in the order of ids."""
    savemat = pytest.importorskip("scipy.io").savemat
    fields = ["ILSVRC2012_ID", "WNID", "words", "gloss", "num_children", "children"]
    fields += ["wordnet_height", "num_train_images"]
    rows = [(n, wnid, f"thing {n}, it", "a thing", 0, [], 0, 9) for n, wnid in enumerate(WNIDS, 1)]
    rows.insert(0, (5, "n00000005", "entity", "all", 2, [1, 2], 1, 0))
    rows.append((6, "n00000006", "matter", "all", 2, [3, 4], 1, 0))
    rows[1], rows[3] = rows[3], rows[1]
    synsets = np.empty((len(rows), 1), [(field, object) for field in fields])
    for place, row in enumerate(rows):
        synsets[place, 0] = row
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"synsets": synsets})


def devkit(root):
    """The unpacked devkit in `root`."""
    data = root / DEVKIT / "data"
    meta(data / "meta.mat")
    (data / TRUTH).write_text("".join(f"{n}\n" for n in IDS))


def lines(words):
    return "".join(f"{word}\n" for word in words)


def class_folders(root):
    for wnid in WNIDS:
        jpegs(
            root / "val" / wnid,
            [s for s, label in zip(STEMS, LABELS, strict=True) if label == wnid],
        )
    (root / "synsets.txt").write_text(lines(WNIDS))


def flat_devkit(root):
    jpegs(root / "val")
    devkit(root)


def flat_caffe(root):
    jpegs(root / "val")
    (root / "synsets.txt").write_text(lines(f"{wnid} a thing" for wnid in sorted(WNIDS)))
    (root / "val.txt").write_text(
        lines(f"{stem}.JPEG {index}" for stem, index in zip(STEMS, INDICES, strict=True))
    )


def flat_caffe_and_meta(root):
    """Caffe's indices are into the sorted wnids, whatever order the synsets are given in."""
    flat_caffe(root)
    (root / "synsets.txt").unlink()
    meta(root / "meta.mat")


def archives(root):
    """The two archives as they come, and nothing else."""
    jpegs(root / "made")
    with tarfile.open(root / TAR, "w") as tar:
        for file in sorted((root / "made").iterdir(), reverse=True):
            tar.add(file, file.name)
    devkit(root)
    with tarfile.open(root / f"{DEVKIT}.tar.gz", "w:gz") as tar:
        tar.add(root / DEVKIT, DEVKIT)
    shutil.rmtree(root / "made")
    shutil.rmtree(root / DEVKIT)


@pytest.fixture
def unpacked(monkeypatch):
    """The names of the archives that are unpacked."""
    done = []

    def noted(archive, folder):
        done.append(archive.name)
        unpack(archive, folder)

    monkeypatch.setattr("pipeline.pictures.imagenet.unpack", noted)
    return done


@pytest.mark.parametrize(
    "layout", [class_folders, flat_devkit, flat_caffe, flat_caffe_and_meta, archives]
)
def test_every_layout_gives_the_same(tmp_path, unpacked, layout):
    layout(tmp_path)
    images = ImageNet(str(tmp_path))
    assert (images.name, images.root, images.fit) == ("imagenet", tmp_path, "crop")
    assert images.classes == sorted(WNIDS)
    pictures = images.split("test")
    assert all(
        isinstance(picture, Picture) and picture.split == "validation" for picture in pictures
    )
    assert [picture.id for picture in pictures] == STEMS
    assert [picture.label for picture in pictures] == LABELS
    assert images.part(Part("base", "test")) == (images.classes, pictures)
    pixels = read(pictures, images.classes, 8, images.fit, quiet=True)
    assert pixels.labels.tolist() == INDICES
    shades = pixels.images.float().mean((1, 2, 3))
    assert torch.allclose(shades, 40.0 * torch.arange(1, 7), atol=2)


def test_ilsvrc_ids_are_not_indices(tmp_path):
    """Whoever subtracts one from the ground truth gets every label wrong, and no error."""
    flat_devkit(tmp_path)
    images = ImageNet(str(tmp_path))
    place = [images.classes.index(picture.label) for picture in images.split("test")]
    naive = [int(line) - 1 for line in (tmp_path / DEVKIT / "data" / TRUTH).read_text().split()]
    assert place == INDICES
    assert all(0 <= index < 4 for index in naive), "the naive reading must raise no error"
    assert all(a != b for a, b in zip(naive, INDICES, strict=True))


def test_meta_and_text_list_agree(tmp_path):
    meta(tmp_path / "meta.mat")
    (tmp_path / "list.txt").write_text(lines(f"{wnid} {n} thing" for n, wnid in enumerate(WNIDS)))
    assert order(tmp_path / "meta.mat") == order(tmp_path / "list.txt") == WNIDS


def test_class_folders_are_torchvisions(tmp_path, unpacked):
    """An unpacked folder read by torchvision's own reader has our indices."""
    archives(tmp_path)
    ours = ImageNet(str(tmp_path))
    theirs = pytest.importorskip("torchvision.datasets").ImageFolder(tmp_path / "val")
    assert theirs.classes == ours.classes
    expected = {picture.image: ours.classes.index(picture.label) for picture in ours.split("test")}
    assert {type(tmp_path)(path): index for path, index in theirs.samples} == expected


def test_archives_are_unpacked_once(tmp_path, unpacked):
    archives(tmp_path)
    first = ImageNet(str(tmp_path)).split("test")
    assert unpacked == [f"{DEVKIT}.tar.gz", TAR]
    assert ImageNet(str(tmp_path)).split("test") == first
    assert unpacked == [f"{DEVKIT}.tar.gz", TAR]
    assert {p.name for p in tmp_path.iterdir()} == {TAR, f"{DEVKIT}.tar.gz", DEVKIT, "val"}


def test_a_broken_archive_leaves_no_folder(tmp_path, unpacked):
    archives(tmp_path)
    jpegs(tmp_path / "made", STEMS[:4])
    with tarfile.open(tmp_path / TAR, "w") as tar:
        for file in (tmp_path / "made").iterdir():
            tar.add(file, file.name)
    shutil.rmtree(tmp_path / "made")
    with pytest.raises(BadInput, match=r"holds 4 pictures, not the 6 that have labels"):
        ImageNet(str(tmp_path))
    assert {p.name for p in tmp_path.iterdir()} == {TAR, f"{DEVKIT}.tar.gz", DEVKIT}


def test_the_tar_is_not_touched_where_labels_are_missing(tmp_path, unpacked):
    archives(tmp_path)
    (tmp_path / f"{DEVKIT}.tar.gz").unlink()
    with pytest.raises(BadInput, match=rf"synsets is needed.*Put {DEVKIT}\.tar\.gz there"):
        ImageNet(str(tmp_path))
    assert unpacked == []


def test_a_part_of_the_set_keeps_its_labels(tmp_path):
    """Labels go by a picture's number, not by its place among the files that are there."""
    flat_devkit(tmp_path)
    for stem in (STEMS[0], STEMS[2]):
        (tmp_path / "val" / f"{stem}.JPEG").unlink()
    pictures = ImageNet(str(tmp_path)).split("test")
    assert [p.label for p in pictures] == [LABELS[n] for n in (1, 3, 4, 5)]


def test_a_part_in_class_folders_keeps_its_indices(tmp_path):
    class_folders(tmp_path)
    shutil.rmtree(tmp_path / "val" / "n01000000")
    assert ImageNet(str(tmp_path)).classes == sorted(WNIDS)
    (tmp_path / "synsets.txt").unlink()
    with pytest.raises(BadInput, match="a file of synsets is needed"):
        ImageNet(str(tmp_path))


def test_a_thousand_class_folders_need_nothing_else(tmp_path):
    wnids = [f"n{7 * number:08d}" for number in range(1000)]
    for wnid in wnids:
        (tmp_path / wnid).mkdir()
    jpegs(tmp_path / wnids[3], STEMS[:1])
    images = ImageNet(str(tmp_path))
    assert [label.split(" ")[0] for label in images.classes] == wnids
    assert images.classes == sorted(images.classes)
    assert [p.label for p in images.split("test")] == [f"{wnids[3]} tiger shark"]


@pytest.mark.parametrize("place", ["tgz", "unpacked", "kaggle", "elsewhere"])
def test_published_boxes(tmp_path, place):
    root = tmp_path / "imagenet"
    flat_devkit(root)
    made, given = tmp_path / "made" / "val", None
    annotated(made, STEMS[0], STEMS[2])
    if place == "tgz":
        with tarfile.open(root / f"{BOXES}.tgz", "w:gz") as tar:
            tar.add(made, "val")
    elif place == "unpacked":
        shutil.copytree(made, root / BOXES / "val")
    elif place == "kaggle":
        shutil.copytree(made, root / "Annotations" / "CLS-LOC" / "val")
    else:
        given = str(made.parent)
    images = ImageNet(str(root), boxes=given)
    found = {one.id: one.box for one in images.pictures if one.box}
    assert found == {STEMS[0]: (1, 2, 5, 6), STEMS[2]: (0, 4, 7, 8)}
    pixels = read(images.pictures[:1], images.classes, 4, "stretch", quiet=True)
    assert pixels.boxes.tolist() == [[0.5, 1, 2.5, 3]]
    assert not any(one.box for one in ImageNet(str(root), boxes=False).pictures)


def test_boxes_that_are_not_there(tmp_path):
    flat_devkit(tmp_path)
    with pytest.raises(BadInput, match=r"images.boxes=lost.tgz: there is no .*images.boxes=false"):
        ImageNet(str(tmp_path), boxes="lost.tgz")
    with pytest.raises(BadInput, match=rf"boxes=True: there is no {BOXES}.tgz or {BOXES}"):
        ImageNet(str(tmp_path), boxes=True)


def test_files_may_lie_elsewhere(tmp_path):
    jpegs(tmp_path / "pictures")
    meta(tmp_path / "lists" / "m.mat")
    (tmp_path / "lists" / "t.txt").write_text(lines(IDS))
    images = ImageNet(
        str(tmp_path / "pictures"), labels="../lists/t.txt", synsets=f"{tmp_path}/lists/m.mat"
    )
    assert [picture.label for picture in images.split("test")] == LABELS


def test_sorted_synsets_say_nothing_about_ilsvrc_ids(tmp_path):
    jpegs(tmp_path / "val")
    (tmp_path / "synsets.txt").write_text(lines(sorted(WNIDS)))
    (tmp_path / TRUTH).write_text(lines(IDS))
    with pytest.raises(BadInput, match=r"the list of synsets is sorted.*meta.mat"):
        ImageNet(str(tmp_path))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (["2", "0", "1"], r"line 2: '0'.* ILSVRC ids alone, from 1 to 4"),
        (["2", "5"], r"line 2: '5'"),
        (["2", "two"], r"line 2: 'two'"),
        (["a.JPEG 0", "b.JPEG 4"], r"line 2: 'b.JPEG 4'.* sorted wnids, from 0 to 3"),
        (["a.JPEG 0", "3"], r"line 2: '3'"),
        (["a.JPEG 0", "", "c.JPEG 1"], r"line 2: ''"),
        (["a b 0"], r"line 1: 'a b 0'"),
    ],
)
def test_bad_labels(tmp_path, text, sentence):
    (tmp_path / "labels.txt").write_text(lines(text))
    with pytest.raises(BadInput, match=sentence):
        label_of(tmp_path / "labels.txt", WNIDS)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (["n01440764", "tench"], "line 2: 'tench' does not begin with a new wnid"),
        (["n01440764", ""], "line 2: ''"),
        (["n01440764", "n01440764 again"], "line 2: 'n01440764 again'"),
    ],
)
def test_bad_synsets(tmp_path, text, sentence):
    (tmp_path / "synsets.txt").write_text(lines(text))
    with pytest.raises(BadInput, match=sentence):
        order(tmp_path / "synsets.txt")


def test_bad_meta(tmp_path, monkeypatch):
    savemat = pytest.importorskip("scipy.io").savemat
    savemat(tmp_path / "other.mat", {"weights": np.zeros(3)})
    (tmp_path / "torn.mat").write_bytes((tmp_path / "other.mat").read_bytes()[:150])
    (tmp_path / "text.mat").write_text("no matrix")
    for name in ("other", "torn", "text"):
        with pytest.raises(BadInput, match=rf"{name}.mat is damaged or not the devkit's"):
            order(tmp_path / f"{name}.mat")
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(BadInput, match=r"Install scipy, or give images.synsets"):
        order(tmp_path / "other.mat")


def test_what_fits_no_layout(tmp_path):
    with pytest.raises(BadInput, match=r"images.root=None: .*IMAGENET.*image-net.org"):
        ImageNet(None)
    with pytest.raises(BadInput, match=r"none: there is no such folder"):
        ImageNet(str(tmp_path / "none"))
    with pytest.raises(BadInput, match=rf"neither class folders like n01440764 nor .*{TAR}"):
        ImageNet(str(tmp_path))
    with pytest.raises(BadInput, match=r"fit='squeeze'"):
        ImageNet(str(tmp_path), fit="squeeze")


def test_odd_contents(tmp_path):
    class_folders(tmp_path)
    images = ImageNet(str(tmp_path))
    for name in ("train", "val", "tset"):
        with pytest.raises(BadInput, match=rf"no picture is in split '{name}'"):
            images.split(name)
    jpegs(tmp_path / "val" / "n01000000", STEMS[1:2])
    with pytest.raises(BadInput, match=r"n03000000/.* and .*n01000000/.*have the same name"):
        ImageNet(str(tmp_path))
    (tmp_path / "val" / "n09000000").mkdir()
    with pytest.raises(BadInput, match="n09000000 is none of the 4 classes"):
        ImageNet(str(tmp_path))
    jpegs(tmp_path / "val", STEMS[:1])
    with pytest.raises(BadInput, match="holds both class folders"):
        ImageNet(str(tmp_path))
    shutil.rmtree(tmp_path / "val")
    (tmp_path / "val" / "n01000000").mkdir(parents=True)
    with pytest.raises(BadInput, match="class folders hold no pictures"):
        ImageNet(str(tmp_path))


def test_a_picture_without_label(tmp_path):
    flat_devkit(tmp_path)
    jpegs(tmp_path / "val", ["ILSVRC2012_val_00000007"])
    with pytest.raises(BadInput, match=r"ground_truth.txt has no label for .*00000007.JPEG"):
        ImageNet(str(tmp_path))


@pytest.mark.parametrize("given", [True, False])
def test_configuration_takes_the_folder_from_the_environment(tmp_path, monkeypatch, given):
    monkeypatch.delenv("IMAGENET", raising=False)
    if given:
        class_folders(tmp_path)
        monkeypatch.setenv("IMAGENET", str(tmp_path))
    settings = OmegaConf.load(CONF / "images" / "imagenet.yaml")
    if given:
        images = instantiate(settings)
        assert isinstance(images, ImageNet)
        assert len(images.split("test")) == 6
    else:
        with pytest.raises(InstantiationException) as error:
            instantiate(settings)
        assert isinstance(error.value.__cause__, BadInput)  # what pipeline.app tells in a sentence


def test_the_labels_of_a_memory_bank_come_from_the_counts(tmp_path):
    """Sorted class folders, as many pictures each as meta.mat says."""
    jpegs(tmp_path / "val")
    devkit(tmp_path)
    assert ImageNet(str(tmp_path)).bank_labels().tolist() == [n for n in range(4) for _ in range(9)]
