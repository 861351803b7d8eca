"""The reader: what it finds, and one clear sentence for everything it cannot use."""

import gzip
import os

import pandas as pd
import pytest
from PIL import Image

from naflow.errors import BadInput
from pipeline.pictures.images import Folder, Part, dealt

COLUMNS = {"label": "class", "box": ["x0", "y0", "x1", "y1"]}


@pytest.fixture
def folder(tmp_path):
    """A folder with an index of three rows; `write` replaces its columns."""
    for name in "abc":
        Image.new("RGB", (8, 6), (name == "a" and "red") or "blue").save(tmp_path / f"{name}.png")
    table = {
        "image": ["a.png", "b.png", "c.png"],
        "class": ["x", "y", "x"],
        "split": ["train", "train", "test"],
        "subset": ["one", "one", "two"],
        "x0": ["1", "", "0"],
        "y0": ["1", "", "0"],
        "x1": ["4", "", "8"],
        "y1": ["5", "", "6"],
    }

    def write(**changes):
        pd.DataFrame(table | changes).to_csv(tmp_path / "index.csv", index=False)
        return lambda **options: Folder(
            str(tmp_path), "toy", "index.csv", **({"columns": COLUMNS} | options)
        )

    return write


def test_index(folder):
    toy = folder()()
    assert toy.classes == ["x", "y"]
    first, second = toy.split("train")
    assert (first.id, first.label, first.box, first.mask) == ("a.png", "x", (1, 1, 4, 5), None)
    assert second.box is None
    assert [p.id for p in toy.split("test")] == ["c.png"]


def test_select(folder):
    assert [p.id for p in folder()(select={"subset": "two"}).pictures] == ["c.png"]


@pytest.mark.parametrize("column", ["image", "mask"])
@pytest.mark.parametrize("path", ["../secret.png", "{outside}/secret.png", "b/../../secret.png"])
def test_an_index_leads_nowhere_else(folder, tmp_path_factory, tmp_path, column, path):
    outside = tmp_path_factory.mktemp("outside")
    for place in (outside, tmp_path.parent):
        Image.new("RGB", (8, 6)).save(place / "secret.png")
    files = ["a.png", path.format(outside=outside), "c.png"]
    with pytest.raises(BadInput, match=r"line 3: .*secret.png lies outside .*images.elsewhere"):
        folder(**{column: files})()


def test_an_index_may_lead_where_it_is_told(folder, tmp_path_factory, tmp_path):
    outside = tmp_path_factory.mktemp("outside")
    Image.new("RGB", (8, 6)).save(outside / "far.png")
    files = ["../" + tmp_path.name + "/a.png", str(outside / "far.png"), str(tmp_path / "c.png")]
    toy = folder(image=files)(elsewhere=str(outside))
    assert [one.image.name for one in toy.pictures] == ["a.png", "far.png", "c.png"]


def test_links_lead_out_only_where_the_user_put_them(folder, tmp_path_factory, tmp_path):
    outside = tmp_path_factory.mktemp("outside")
    (outside / "deep").mkdir()
    Image.new("RGB", (8, 6), "green").save(outside / "a.png")
    (tmp_path / "link").symlink_to(outside / "deep")
    toy = folder(image=["link/../a.png", "b.png", "c.png"])()  # the file beside the link
    assert toy.pictures[0].image.samefile(tmp_path / "a.png")
    (tmp_path / "all").symlink_to(tmp_path)
    files = ["a.png", "b.png", str(tmp_path / "all" / "c.png")]
    folder(image=files)
    pictures = Folder(str(tmp_path / "all"), "toy", "index.csv", COLUMNS).pictures
    assert [one.image.name for one in pictures] == ["a.png", "b.png", "c.png"]
    with pytest.raises(BadInput, match="lies outside"):
        folder(image=["../a.png", "b.png", "c.png"])(elsewhere="")


def test_class_folders(tmp_path):
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for number in range(20):
            Image.new("RGB", (4, 4)).save(tmp_path / label / f"{number}.jpg")
    (tmp_path / "cat" / "notes.txt").write_text("no picture")
    pets = Folder(str(tmp_path), "pets")
    assert pets.classes == ["cat", "dog"]
    assert len(pets.pictures) == 40
    assert sum(len(pets.split(s)) for s in ("train", "val", "test")) == 40


def test_what_is_no_file_among_the_pictures_is_named(tmp_path):
    (tmp_path / "cat").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "cat" / "a.jpg")
    os.mkfifo(tmp_path / "cat" / "b.jpg")
    with pytest.raises(BadInput, match=r"cat/b\.jpg is no file: take it out of .*cat"):
        Folder(str(tmp_path), "pets")


def test_dealing_is_by_id_and_near_its_shares():
    splits = [dealt(f"picture {n}") for n in range(2000)]
    assert splits == [dealt(f"picture {n}") for n in range(2000)]
    assert 0.66 < splits.count("train") / 2000 < 0.74
    assert 0.17 < splits.count("test") / 2000 < 0.23


@pytest.mark.parametrize(
    ("changes", "options", "sentence"),
    [
        (
            {"image": ["a.png", "lost.png", "c.png"]},
            {},
            r"index.csv, line 3: .*lost.png does not exist",
        ),
        ({"mask": ["", "", "m.png"]}, {}, r"line 4: .*m.png does not exist"),
        ({"class": ["x", "", "x"]}, {}, r"line 3: the label is empty"),
        ({"image": ["a.png", "", "c.png"]}, {}, r"line 3: the image is empty"),
        ({"x0": ["one", "", "0"]}, {}, r"line 2: the box .* is not four numbers"),
        ({"x0": ["5", "", "0"]}, {}, r"line 2: the box .* is empty"),
        ({"image": ["a.png", "a.png", "c.png"]}, {}, r"id 'a.png' stands on more than one"),
        ({}, {"columns": {"label": "clas"}}, r"no column 'clas'\. Did you mean 'class'"),
        ({}, {"select": {"subse": "one"}}, r"no column 'subse'\. Did you mean 'subset'"),
        ({}, {"select": {"subset": "ones"}}, r"no row has subset='ones'.*Did you mean 'one'"),
        ({}, {"classes": ["x", "z"]}, r"class 'y' is not among images.classes"),
        ({}, {"fit": "squeeze"}, r"fit='squeeze'"),
    ],
)
def test_bad_index(folder, changes, options, sentence):
    with pytest.raises(BadInput, match=sentence):
        folder(**changes)(**options)


def test_empty_split_tells_which_exist(folder):
    with pytest.raises(BadInput, match=r"no picture is in split 'val'.*'test', 'train'"):
        folder()().split("val")


@pytest.mark.parametrize("ending", ["gz", "zip", "xz", "bz2"])
def test_an_index_is_not_unpacked_whatever_its_name_says(tmp_path, ending):
    index = tmp_path / f"index.csv.{ending}"
    for content in (b"junk", gzip.compress(b"image,class\na.png,a\n")):
        index.write_bytes(content)
        with pytest.raises(BadInput, match=r"cannot be read as CSV|has no column 'image'"):
            Folder(str(tmp_path), "packed", index.name)


def test_no_folder_no_index_no_pictures(tmp_path):
    with pytest.raises(BadInput, match="there is no such folder"):
        Folder(str(tmp_path / "none"), "none")
    with pytest.raises(BadInput, match="no such index"):
        Folder(str(tmp_path), "none", "index.csv")
    with pytest.raises(BadInput, match="no pictures in class folders"):
        Folder(str(tmp_path), "none")
    (tmp_path / "index.csv").write_text("")
    with pytest.raises(BadInput, match="cannot be read as CSV"):
        Folder(str(tmp_path), "none", "index.csv")


def test_real_photographs(photographs):
    planes = Folder(
        str(photographs),
        "caltech3",
        "index.csv",
        COLUMNS,
        {"subset": "caltech3"},
        {"train": "train", "val": None, "test": "test"},
    )
    assert planes.classes == ["airplane", "face", "motorcycle"]
    assert (len(planes.split("train")), len(planes.split("test"))) == (915, 390)


def test_groups_of_classes(folder):
    columns = COLUMNS | {"group": "part"}
    toy = folder(part=["base", "novel", "base"])(columns=columns)
    assert toy.group("base").classes == ["x"]
    assert [p.id for p in toy.group("base").pictures] == ["a.png", "c.png"]
    assert toy.group("novel").classes == ["y"]
    assert toy.classes == ["x", "y"]  # the folder itself stays whole
    with pytest.raises(BadInput, match=r"no class is in group 'val' \(the groups here are base, "):
        toy.group("val")


def test_without_groups_every_class_is_in_base(folder):
    assert folder()().group("base").classes == ["x", "y"]


def test_parts(folder):
    toy = folder(part=["base", "novel", "base"])(columns=COLUMNS | {"group": "part"})
    ids = [
        [picture.id for picture in toy.part(part)[1]]
        for part in (Part(), Part("base"), Part("base", "train"), Part(None, "train"), Part(each=1))
    ]
    everything = ["a.png", "b.png", "c.png"]
    assert ids == [everything, ["a.png", "c.png"], ["a.png"], everything[:2], everything[:2]]


def test_nothing_tells_the_labels_of_a_memory_bank(folder):
    with pytest.raises(BadInput, match="only images=imagenet does"):
        folder()().bank_labels()


def test_groups_named_by_their_classes(folder):
    toy = folder()(groups={"novel": ["y"]})
    assert toy.group("novel").classes == ["y"]
    assert toy.group("base").classes == ["x"]
    with pytest.raises(BadInput, match=r"images\.groups\.novel: there is no class 'yy'\. Did you"):
        folder()(groups={"novel": ["yy"]})
