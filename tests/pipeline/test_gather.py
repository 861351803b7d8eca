"""The photographs of the profile: what is installed, one's own before it, a second view of each."""

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from PIL import Image

from naflow.errors import BadInput
from naflow.models.imagenet import class_names
from pipeline.app import CONF
from pipeline.gather import between, gather
from pipeline.pictures.pixels import read

KNOWN = ["cat", "coffee", "rocket", "tripod"]


@pytest.fixture
def gathered(tmp_path):
    """The folder that the profile reads, of the known photographs and one's own."""

    def folder(own=None):
        with initialize_config_dir(str(CONF), version_base="1.3"):
            cfg = compose("config", ["images=photographs", f"photographs.root={tmp_path}/data"])
        cfg.photographs.folder = own and str(own)
        gather(cfg.photographs)
        return instantiate(cfg.images)

    return folder


@pytest.fixture
def own(tmp_path):
    """A folder of one's own: class folders, a class written in several ways."""
    for seed, name in enumerate(["Tabby/1.png", "n02123045 tabby/2.png", "coffee_mug/1.jpg"]):
        path = tmp_path / "own" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 255, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    return tmp_path / "own"


def test_every_installation_has_four_of_imagenets_classes(gathered):
    folder = gathered()
    assert [one.id for one in folder.pictures] == [*KNOWN, *(f"{one}_mirrored" for one in KNOWN)]
    assert folder.classes == class_names() and len(folder.classes) == 1000
    assert folder.split("test") == folder.pictures
    assert all(one.image.is_relative_to(folder.root) for one in folder.pictures)


def test_a_mirrored_copy_shows_the_same_object(gathered):
    folder = gathered()
    first, second = (folder.of_id(one) for one in ("rocket", "rocket_mirrored"))
    images = read([first, second], [], 224, "centre", quiet=True)
    assert (images.images[1].flip(2).int() - images.images[0].int()).abs().max() <= 1
    x0, y0, x1, y1 = images.boxes[0].tolist()
    assert images.boxes[1].tolist() == pytest.approx([224 - x1, y0, 224 - x0, y1], abs=1e-3)
    assert first.label == second.label == "missile"


def test_ones_own_stand_first_and_stay_where_they_are(gathered, own):
    pictures = gathered(own).pictures
    first = ["Tabby/1.png", "coffee_mug/1.jpg", "n02123045 tabby/2.png"]
    assert [one.id for one in pictures[:3]] == first
    assert [one.id for one in pictures[3:7]] == KNOWN
    assert [one.label for one in pictures[:3]] == ["tabby", "coffee mug", "tabby"]
    assert pictures[0].image.resolve() == own / "Tabby" / "1.png"
    alone = ["coffee_mug/1.jpg_mirrored", *(f"{one}_mirrored" for one in KNOWN)]
    assert [one.id for one in pictures[7:]] == alone


def test_the_known_ones_are_near_the_beginning(gathered, own):
    pictures = gathered(own).pictures
    of = {"own": pictures[:3], "known": pictures[3:7]}
    found = [one.id for one in between(of["own"], of["known"], 1)]
    assert found == ["Tabby/1.png", "n02123045 tabby/2.png", *KNOWN, "coffee_mug/1.jpg"]


def test_the_index_changes_with_the_pictures_and_with_nothing_else(gathered, own, tmp_path):
    index = tmp_path / "data" / "index.csv"
    gathered(own)
    before = index.read_bytes()
    gathered(own)
    assert index.read_bytes() == before
    with (own / "Tabby" / "1.png").open("ab") as file:
        file.write(b"\0")
    gathered(own)
    assert index.read_bytes() != before


def test_an_index_with_masks_and_boxes_is_kept_to(gathered, own, tmp_path):
    Image.fromarray(np.eye(50, dtype=np.uint8)[:40]).save(own / "mask.png")
    row = {"id": "../../far", "image": "Tabby/1.png", "mask": "mask.png", "class": "tabby"}
    box = {"x0": 1, "y0": 2, "x1": 11, "y1": 12}
    pd.DataFrame([row | box]).to_csv(own / "index.csv", index=False)
    first = gathered(own).pictures[0]
    assert first.mask.resolve() == own / "mask.png" and first.box == (1, 2, 11, 12)
    second = gathered(own).of_id("../../far_mirrored")
    assert second.box == (39, 2, 49, 12) and second.mask is None
    assert second.image.resolve().is_relative_to(tmp_path / "data" / "mirrored")


@pytest.mark.parametrize(
    ("name", "told"),
    [("egyptian_catt", "no class 'egyptian_catt'.*Egyptian cat"), ("holidays", "naflow explain")],
)
def test_a_class_that_no_network_can_decide_for(gathered, own, name, told):
    (own / "Tabby").rename(own / name)
    with pytest.raises(BadInput, match=told):
        gathered(own)


def test_a_folder_that_is_not_there(gathered, tmp_path):
    with pytest.raises(BadInput, match=r"there is no such folder.*PHOTOGRAPHS"):
        gathered(tmp_path / "nowhere")
