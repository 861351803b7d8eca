"""The list of what comes from elsewhere: true of what is there, and nothing is touched."""

import hashlib

import pytest

from naflow import models
from naflow.errors import BadInput
from pipeline import cub, needs, profile
from pipeline.app import CONF
from pipeline.downloads import source, weights_lock
from pipeline.downloads.weights_lock import Entry

BY_HAND = "needed by hand"


@pytest.fixture
def found(config, tmp_path, monkeypatch):
    """The needs of a profile by name, from an empty folder; and that no file has changed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("IMAGENET", raising=False)

    def listed(profile="paper", *overrides):
        cfg = config(
            f"fetch.profile={CONF}/profile/{profile}.yaml",
            f"fetch.lock={tmp_path}/lock.json",
            *overrides,
        )
        before = tree(tmp_path)
        items = needs.needs(cfg)
        listed.text = needs.told(cfg, items)
        assert tree(tmp_path) == before
        return {one.name: one for one in items}

    return listed


def tree(folder):
    return {path: path.is_file() and path.stat().st_mtime_ns for path in folder.rglob("*")}


def put(path, content=b"x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def imagenet(items):
    return items["ImageNet-2012, validation set"]


def test_every_file_of_the_paper_is_told_before_it_is_fetched(found):
    items = found()
    published = [
        name for name in profile.shown(CONF / "profile" / "paper.yaml") if models.card(name).weights
    ]
    assert list(items) == [*published, "CUB-200-2011", "ImageNet-2012, validation set"]
    for name in published:
        text, card = str(items[name]), models.card(name)
        assert items[name].state == "to be downloaded"
        assert card.licence in text
        for one in card.weights:
            assert one.address in text and one.bytes in text
    assert "data/external/weights/resnet50_cbam.pth (" in found.text  # an address without a name
    for name, (address, size, _) in cub.ARCHIVES.items():
        assert f"data/external/{name}" in found.text and address in found.text
        assert f"{size:,} bytes" in found.text
    download = sum(
        card.weights[0].size or card.weights[0].about for card in map(models.card, published)
    ) + sum(size for _, size, _ in cub.ARCHIVES.values())
    assert sum(one.download for one in items.values()) == download
    assert f"To be downloaded: about {download / 1e9:.1f} GB." in found.text
    assert "Needed by hand: ImageNet-2012, validation set." in found.text
    assert "no labels without it" in found.text


def test_the_embedded_profile_needs_nothing(found):
    assert found("embedded") == {}
    assert "Nothing: all of it is made here." in found.text


def test_the_photographs_are_installed_and_ones_own_may_be_added(found, tmp_path, monkeypatch):
    items = found("photographs")
    assert list(items) == [*profile.shown(CONF / "profile" / "photographs.yaml"), "photographs"]
    assert items["photographs"].state == "there"
    assert "chelsea.png, coffee.png" in found.text and "PHOTOGRAPHS" in found.text
    assert "Needed by hand: nothing." in found.text
    assert items["resnet18"].download == 46_830_571
    monkeypatch.setenv("PHOTOGRAPHS", str(tmp_path / "nowhere"))
    assert found("photographs")["photographs"].state == f"needed by hand in {tmp_path}/nowhere"


def test_what_is_there_is_said(found, tmp_path):
    weights = put(tmp_path / "data/weights/imagenet/resnet50_cbam.safetensors")
    source.write(weights, Entry("a.pth", 1, "ab", ""))
    put(tmp_path / "data/external/weights/resnet50_bam.pth")
    put(tmp_path / "data/external/weights/lemniscate_resnet18.pth.tar")
    put(tmp_path / "data/external/weights/resnet18-f37072fd.pth")
    put(tmp_path / "data/external/weights/resnet50-0676ba61.pth.partial", b"x" * 1000)
    put(tmp_path / "data/external/weights/lemniscate_resnet50.pth", b"<!DOCTYPE html>")
    put(tmp_path / "data/cub/index.csv")
    items = found()
    assert items["resnet50_cbam"].state.startswith("there, converted")
    assert items["resnet50_bam"].state == items["resnet18_npid"].state == "there"
    assert items["resnet18"].state == "there, but wrong: it has 1 bytes, 46,830,571 are expected"
    assert items["resnet50"].state.startswith("1,000 bytes of it are here")
    assert items["resnet50"].download == 102_530_333 - 1000
    assert "web page" in items["resnet50_npid"].state
    assert items["CUB-200-2011"].state == "there, in data/cub"
    assert sum(one.download for one in items.values()) == items["resnet50"].download


def test_archives_of_cub_that_are_there_are_checked(found, tmp_path, monkeypatch):
    one = ("https://a.org/a.tgz", 1, hashlib.sha256(b"x").hexdigest())
    small = {"a.tgz": one, "b.tgz": ("https://a.org/b.tgz", 5, "")}
    monkeypatch.setattr(cub, "ARCHIVES", small)
    put(tmp_path / "data/external/a.tgz")
    birds = found()["CUB-200-2011"]
    assert (birds.state, birds.download) == ("to be downloaded", 5)
    assert "a.tgz (there; its hash is known)" in str(birds)


def test_a_network_without_its_memory_bank_is_not_there(found, tmp_path):
    weights = put(tmp_path / "data/weights/imagenet/resnet18_npid.safetensors")
    source.write(weights, Entry("a.pth", 1, "ab", ""))
    assert found()["resnet18_npid"].state == "to be downloaded"
    put(source.bank(tmp_path / weights))
    assert found()["resnet18_npid"].state.startswith("there, converted")


def test_a_lock_and_a_mirror_are_told(found, tmp_path):
    address = models.card("resnet50_cbam").weights[0].address
    weights_lock.record(tmp_path / "lock.json", "resnet50_cbam", Entry("a.pth", 1, "ab", address))
    text = str(found("paper", "fetch.mirror=/a/mirror")["resnet50_cbam"])
    assert "its hash is known" in text and "/a/mirror, tried first" in text


LAYOUTS = {
    "nothing": ([], BY_HAND),
    "class folders": (["val/n01440764/a.JPEG"], "its pictures are there, ILSVRC2012_devkit"),
    "class folders at the top": (["n01440764/a.JPEG"], "its pictures are there, ILSVRC2012_devkit"),
    "class folders and devkit": (["val/n01440764/a.JPEG", "ILSVRC2012_devkit_t12.tar.gz"], "there"),
    "class folders and meta.mat": (["val/n01440764/a.JPEG", "meta.mat"], "there"),
    "class folders and a text": (["val/n01440764/a.JPEG", "synsets.txt"], "its pictures are there"),
    "pictures": (["val/ILSVRC2012_val_00000001.JPEG"], "its pictures are there"),
    "pictures and devkit": (
        ["val/ILSVRC2012_val_00000001.JPEG", "ILSVRC2012_devkit_t12.tar.gz"],
        "there",
    ),
    "pictures and meta.mat": (
        ["val/ILSVRC2012_val_00000001.JPEG", "meta.mat"],
        "its pictures are there",
    ),
    "archive": (["ILSVRC2012_img_val.tar"], "its pictures are there"),
    "archives": (["ILSVRC2012_img_val.tar", "ILSVRC2012_devkit_t12.tar.gz"], "there"),
    "other pictures": (["val/cat.jpg"], BY_HAND),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_imagenet_by_its_layouts(found, tmp_path, layout):
    files, state = LAYOUTS[layout]
    for name in files:
        put(tmp_path / "data/imagenet" / name)
    assert imagenet(found()).state.startswith(state)


def test_class_folders_do_without_the_devkit_where_no_bank_is_used(tmp_path):
    put(tmp_path / "val/n01440764/a.JPEG")
    assert needs.validation(tmp_path, []).state == "there"
    assert "memory bank" not in str(needs.validation(tmp_path, []))


def test_a_disk_that_is_too_small_is_said(found, monkeypatch):
    class Usage:
        free = 1_000_000_000

    monkeypatch.setattr(needs.shutil, "disk_usage", lambda path: Usage)
    found()
    assert "1.0 GB are free. That is not enough." in found.text


@pytest.mark.parametrize(
    "content",
    [
        None,
        "",
        "[",
        "a: 1",
        "published: 3\ntrained: {}",
        "\0",
        "[1]",
        "published: {a: 1}\ntrained: {}",
        "published: {a: {}}\ntrained: {}",
        "a",
    ],
)
def test_what_is_no_profile(config, tmp_path, content):
    path = tmp_path / "p.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(BadInput, match=r"p\.yaml: .*There are params\.yaml, in force, and conf"):
        needs.needs(config(f"fetch.profile={path}"))


def test_pictures_that_conf_does_not_know(config, tmp_path):
    (tmp_path / "p.yaml").write_text("published: {}\ntrained: {conv64f: {images: dogs}}")
    with pytest.raises(BadInput, match="dogs is no file of conf/images"):
        needs.needs(config(f"fetch.profile={tmp_path}/p.yaml"))
