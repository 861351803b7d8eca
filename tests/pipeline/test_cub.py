"""CUB-200-2011: its index, and one clear sentence for every way its files can be wrong."""

import shutil
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf
from PIL import Image

from naflow.errors import BadInput
from naflow.models import Weights
from pipeline import cub
from pipeline.app import CONF
from pipeline.downloads.archives import unpack
from pipeline.downloads.download import Unavailable
from pipeline.pictures.images import Part
from pipeline.pictures.pixels import read

CLASSES = {
    1: "001.Albatross",
    2: "002.Ani",
    3: "003.Vireo",
    4: "004.Kingfisher",
    101: "101.Wren",
}
# id -> class, official split, box as x y w h; ids and classes need not run on.
BIRDS = {
    1: (1, 1, "1.0 2.0 5.0 3.0"),
    2: (1, 0, "0.0 0.0 8.0 6.0"),
    3: (2, 1, "1.5 1.0 2.25 4.0"),
    5: (3, 0, "2.0 2.0 2.0 2.0"),
    4: (4, 1, "0.0 0.0 1.0 1.0"),
    9: (101, 0, "3.0 0.0 5.0 6.0"),
}


def path(bird):
    name = CLASSES[BIRDS[bird][0]]
    return f"{name}/{name[4:]}_{bird:04d}_77.jpg"


def made(root, masks="segmentations"):
    """The unpacked data set, in `root`."""
    birds = root / "CUB_200_2011"
    for bird in BIRDS:
        image, mask = birds / "images" / path(bird), (root / masks / path(bird)).with_suffix(".png")
        image.parent.mkdir(parents=True, exist_ok=True)
        mask.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 6), (20 * bird, 0, 0)).save(image)
        Image.new("L", (8, 6), 51 * (bird % 2)).save(mask)
    stray = birds / "images" / path(1)
    shutil.copy(stray, stray.with_name("Albatross_0001_rgb.jpg"))
    text = {
        "classes": [f"{number} {name}" for number, name in CLASSES.items()],
        "images": [f"{bird} {path(bird)}" for bird in BIRDS],
        "image_class_labels": [f"{bird} {label}" for bird, (label, _, _) in BIRDS.items()],
        "train_test_split": [f"{bird} {train}" for bird, (_, train, _) in BIRDS.items()],
        "bounding_boxes": [f"{bird} {box}" for bird, (_, _, box) in sorted(BIRDS.items())],
    }
    for name, lines in text.items():
        (birds / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines))
    return root


@pytest.fixture
def root(tmp_path):
    return made(tmp_path / "cub")


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """Settings of the stage, with archives of a small data set in place of the downloads."""
    made(tmp_path / "made")
    (tmp_path / "made" / "attributes.txt").write_text("1 has_bill\n")
    asked = []

    def download(addresses, target, expected, *, mirror=None, quiet=None):
        asked.append((addresses, target, expected.size, expected.sha256, mirror, quiet))
        target.parent.mkdir(exist_ok=True)
        birds = target.name.startswith("CUB")
        with tarfile.open(target, "w:gz") as tar:
            for name in ("CUB_200_2011", "attributes.txt") if birds else ("segmentations",):
                tar.add(tmp_path / "made" / name, name)

    monkeypatch.setattr(cub, "download", download)
    where = {"root": f"{tmp_path}/cub", "archives": f"{tmp_path}/archives", "mirror": None}
    return OmegaConf.create(where), asked


def test_index(root):
    cub.write(root)
    table = pd.read_csv(root / "index.csv")
    assert list(table.id) == list(BIRDS), "the order of images.txt"
    assert list(table.image) == [f"CUB_200_2011/images/{path(bird)}" for bird in BIRDS]
    assert list(table["mask"]) == [f"segmentations/{path(bird)[:-4]}.png" for bird in BIRDS]
    assert list(table["class"]) == [CLASSES[label] for label, _, _ in BIRDS.values()]
    assert list(table.class_id) == [1, 1, 2, 3, 4, 101]
    assert list(table.split) == ["train", "test", "train", "test", "train", "test"]
    assert list(table.few_shot) == ["val", "val", "base", "novel", "base", "val"]
    assert list(table.retrieval) == ["base", "base", "base", "base", "base", "novel"]
    boxes = table[["x0", "y0", "x1", "y1"]].to_numpy().tolist()
    assert boxes[:3] == [[1, 2, 6, 5], [0, 0, 8, 6], [1.5, 1, 3.75, 5]]
    assert boxes[5] == [3, 0, 8, 6]
    for column, size in (("image", "bytes"), ("mask", "mask_bytes")):
        assert [(root / name).stat().st_size for name in table[column]] == list(table[size])


def test_a_folder_that_cannot_be_written_to(root, monkeypatch):
    def refused(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(cub, "replacing", refused)
    with pytest.raises(BadInput, match=r"no index.csv can be written there \(Permission denied\)"):
        cub.write(root)


def test_few_shot_rule_is_frns():
    """The classes of the paper's Figures 10 and 11 are novel; counted from 0, they are base."""
    parts = [cub.few_shot(number) for number in range(1, 201)]
    assert [parts.count(part) for part in ("base", "val", "novel")] == [100, 50, 50]
    assert {cub.few_shot(number) for number in (83, 151, 171, 191)} == {"novel"}


def test_the_shipped_configuration_reads_it(root):
    cub.write(root)
    settings = OmegaConf.create({"cub": {"root": str(root)}})
    settings["images"] = OmegaConf.load(CONF / "images" / "cub.yaml")
    folder = instantiate(settings.images)
    assert folder.classes == list(CLASSES.values())
    pictures = folder.split("train")
    assert [picture.id for picture in pictures] == ["1", "3", "4"]
    assert folder.part(Part("base"))[0] == ["002.Ani", "004.Kingfisher"]
    assert [picture.id for picture in folder.part(Part("novel"))[1]] == ["5"]
    pixels = read(pictures, folder.classes, 6, "stretch", quiet=True)
    assert pixels.masks.float().mean((1, 2)).tolist() == [1, 1, 0], "any annotator's vote counts"
    settings.images.columns.group = "retrieval"
    assert instantiate(settings.images).part(Part("novel"))[0] == ["101.Wren"]


@pytest.mark.parametrize("masks", ["segmentations", "CUB_200_2011/segmentations"])
@pytest.mark.parametrize("inner", ["", "CUB_200_2011"])
def test_wherever_it_was_unpacked(tmp_path, masks, inner):
    root = made(tmp_path / "cub", masks) / inner
    cub.write(root)
    table = pd.read_csv(root / "index.csv")
    images = [tmp_path / "cub" / "CUB_200_2011" / "images" / path(bird) for bird in BIRDS]
    marked = [(tmp_path / "cub" / masks / path(bird)).with_suffix(".png") for bird in BIRDS]
    assert [(root / image).resolve() for image in table.image] == images
    assert [(root / mask).resolve() for mask in table["mask"]] == marked


@pytest.mark.parametrize(
    ("file", "old", "new", "sentence"),
    [
        ("images.txt", "3 002", "three 002", r"images.txt, line 3: 'three 002.* a path"),
        ("images.txt", "3 002", "2 002", r"images.txt, line 3: id 2 has a line already"),
        ("images.txt", "_0003_", "_0033_", r"images.txt, line 3: .*_0033_77.jpg does not exist"),
        ("images.txt", "3 002", "7 002", r"class_labels.txt, line 3: id 3 is not in images.txt"),
        ("image_class_labels.txt", "5 3\n", "", r"labels.txt: id 5 of images.txt has no line"),
        ("image_class_labels.txt", "5 3", "5 x", r"labels.txt, line 4: '5 x' .* a class number"),
        ("image_class_labels.txt", "5 3", "5 4", r"images.txt, line 4: .* 4 \(004.Kingfisher\)"),
        ("image_class_labels.txt", "5 3", "5 7", r"images.txt, line 4: .* classes.txt lacks"),
        ("train_test_split.txt", "3 1", "3 2", r"split.txt, line 3: '3 2' .* 0 or 1"),
        ("train_test_split.txt", "9 0", "10 0", r"split.txt, line 6: id 10 is not in images.txt"),
        ("bounding_boxes.txt", "2.25 4.0", "2.25", r"boxes.txt, line 3: .* x y width height"),
        ("bounding_boxes.txt", "2.25", "0.0", r"boxes.txt, line 3"),
        ("bounding_boxes.txt", "2.25", "nan", r"boxes.txt, line 3"),
        ("classes.txt", "4 004", "004", r"classes.txt, line 4"),
    ],
)
def test_files_at_odds(root, file, old, new, sentence):
    text = (root / "CUB_200_2011" / file).read_text()
    assert text.count(old) == 1
    (root / "CUB_200_2011" / file).write_text(text.replace(old, new))
    with pytest.raises(BadInput, match=sentence):
        cub.write(root)
    assert not (root / "index.csv").exists()


@pytest.mark.parametrize(
    "file",
    [
        *("images.txt", "classes.txt", "image_class_labels.txt", "train_test_split.txt"),
        "bounding_boxes.txt",
    ],
)
def test_a_list_that_is_missing_or_empty(root, file):
    (root / "CUB_200_2011" / file).write_text("")
    with pytest.raises(BadInput, match=rf"{file}(, line 1| is empty|: id 1 of)"):
        cub.write(root)
    (root / "CUB_200_2011" / file).unlink()
    with pytest.raises(BadInput, match=rf"{file} does not exist"):
        cub.write(root)


def test_a_mask_or_all_masks_missing(root):
    mask = (root / "segmentations" / path(3)).with_suffix(".png")
    mask.unlink()
    with pytest.raises(BadInput, match=r"images.txt, line 3: .*segmentations.*0003.* not exist"):
        cub.write(root)
    shutil.rmtree(root / "segmentations")
    with pytest.raises(BadInput, match=r"no folder segmentations .*Unpack segmentations.tgz there"):
        cub.write(root)


def whole():
    """A table with the counts of the whole data set, made from them by hand."""
    return pd.DataFrame(
        [
            *[("train", "base", "base")] * 3000,
            *[("train", "val", "base")] * 1400,
            *[("train", "novel", "base")] * 1464,
            *[("train", "base", "novel")] * 130,
            *[("test", "base", "novel")] * 2773,
            *[("test", "val", "novel")] * 1527,
            *[("test", "novel", "novel")] * 1494,
        ],
        columns=["split", "few_shot", "retrieval"],
    )


def test_counts_of_the_whole_data_set(tmp_path):
    table = whole()
    assert len(table) == 11_788
    cub.check(table, tmp_path)
    with pytest.raises(BadInput, match=r"5993 pictures are in split part 'train'.* has 5994"):
        cub.check(table[1:], tmp_path)
    table.loc[0, "few_shot"] = "val"
    with pytest.raises(BadInput, match=r"5902 pictures are in few_shot part 'base'.* has 5903"):
        cub.check(table, tmp_path)


def test_two_hundred_classes_are_counted(root):
    names = root / "CUB_200_2011" / "classes.txt"
    more = [number for number in range(1, 201) if number not in CLASSES]
    names.write_text(names.read_text() + "".join(f"{number} {number:03d}.X\n" for number in more))
    with pytest.raises(BadInput, match=r"3 pictures are in split part 'train', where CUB-200-2011"):
        cub.write(root)


def test_stage_fetches_what_is_not_there(settings, tmp_path):
    where, asked = settings
    cub.prepare(where, quiet=True)
    root = tmp_path / "cub"
    assert {p.name for p in root.iterdir()} == {
        *("CUB_200_2011", "attributes.txt", "segmentations", "index.csv")
    }
    assert len(pd.read_csv(root / "index.csv")) == len(BIRDS)
    assert [target.name for _, target, *_ in asked] == ["CUB_200_2011.tgz", "segmentations.tgz"]
    for addresses, target, size, sha256, mirror, quiet in asked:
        assert all(address.startswith("https://data.caltech.edu/") for address in addresses)
        assert target.name in addresses[0]
        assert size > 1e7
        assert len(bytes.fromhex(sha256)) == 32
        assert (mirror, quiet) == (None, True)
    (root / "index.csv").unlink()
    cub.prepare(where, quiet=True)
    assert (root / "index.csv").exists()
    assert len(asked) == 2, "a folder that is there is not fetched"


def test_a_copy_elsewhere_is_tried_after_another(settings, tmp_path, monkeypatch):
    where, asked = settings
    own = cub.download

    def dead(addresses, target, expected, **settings):
        if "dead" in addresses[0]:
            raise Unavailable(f"{addresses[0]} is gone.")
        return own(addresses, target, expected, **settings)

    monkeypatch.setattr(cub, "download", dead)
    copies = [Weights(f"https://{name}.org/s.tgz", 5) for name in ("dead", "alive")]
    cub.prepare(where, quiet=True, instead={"segmentations.tgz": tuple(copies)})
    assert [one[0][0] for one in asked][1:] == ["https://alive.org/s.tgz"]
    shutil.rmtree(tmp_path / "cub")
    with pytest.raises(Unavailable, match=r"dead\.org/s\.tgz is gone\."):
        cub.prepare(where, quiet=True, instead={"segmentations.tgz": tuple(copies[:1])})


def test_stage_accepts_what_was_unpacked_by_hand(settings, tmp_path):
    where, asked = settings
    made(tmp_path / "cub")
    cub.prepare(where)
    assert len(pd.read_csv(tmp_path / "cub" / "index.csv")) == len(BIRDS)
    assert not asked


def test_stage_leaves_no_half_folder(settings, tmp_path, monkeypatch):
    where, _ = settings

    def failing(archive, folder):
        if archive.name == "segmentations.tgz":
            raise BadInput("the disk is full")
        unpack(archive, folder)

    monkeypatch.setattr(cub, "unpack", failing)
    with pytest.raises(BadInput, match="the disk is full"):
        cub.prepare(where, quiet=True)
    assert not (tmp_path / "cub").exists()
    monkeypatch.setattr(cub, "unpack", unpack)
    (tmp_path / "cub").mkdir()  # as good as none
    cub.prepare(where, quiet=True)
    left = {p.name for p in tmp_path.iterdir() if p.suffix != ".lock"}
    assert left == {"made", "cub", "archives"}


def test_stage_refuses_a_folder_of_something_else(settings, tmp_path):
    where, asked = settings
    (tmp_path / "cub" / "segmentations").mkdir(parents=True)
    with pytest.raises(BadInput, match=r"classes.txt does not exist.* or empty the folder"):
        cub.prepare(where)
    assert not asked


def test_stage_run_twice_at_once_prepares_it_once(settings, tmp_path, monkeypatch):
    where, asked = settings

    def slowly(archive, folder):
        time.sleep(0.1)
        unpack(archive, folder)

    monkeypatch.setattr(cub, "unpack", slowly)
    with ThreadPoolExecutor() as both:
        for one in [both.submit(cub.prepare, where, True) for _ in range(2)]:
            one.result()
    assert len(asked) == 2
    assert len(pd.read_csv(tmp_path / "cub" / "index.csv")) == len(BIRDS)


def test_stage_says_what_stands_in_the_way(settings, tmp_path):
    where, _ = settings
    (tmp_path / "cub").write_text("a file")
    with pytest.raises(BadInput, match=r"cub.root=.*/cub cannot be written as a folder: Not a dir"):
        cub.prepare(where)
