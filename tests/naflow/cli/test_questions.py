"""Several classes asked for by name, and which layers are drawn, through main(argv)."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from networks import Residual, randomised
from PIL import Image

from naflow import NAFlow
from naflow.cli import main
from naflow.cli.labels import classes_called
from naflow.cli.layers import chosen
from naflow.cli.photos import PhotoFile, normalised, square
from naflow.errors import BadInput
from naflow.explainers import GradCAM
from naflow.models.imagenet import class_names
from naflow.scores import ClassContrast, ClassLogit

NAMES = ["Egyptian cat", "tiger cat", "espresso", "Espresso maker"]
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.fixture
def asked(tmp_path: Path) -> list[str]:
    """Two photos, weights and class names of networks:Residual."""
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        patches = rng.integers(0, 256, (4, 4, 3), np.uint8)
        Image.fromarray(patches).resize((64, 64)).save(tmp_path / f"{name}.png")
    torch.manual_seed(1)
    torch.save(randomised(Residual()).state_dict(), tmp_path / "w.pt")
    (tmp_path / "names.txt").write_text("\n".join(NAMES))
    photos = [str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    words = ["--model", "networks:Residual", "--weights", str(tmp_path / "w.pt"), "--batch", "2"]
    words += ["--labels", str(tmp_path / "names.txt"), "--size", "32", "--device", "cpu"]
    return ["explain", *photos, *words, "--out", str(tmp_path / "out"), "--method"]


def images(tmp_path: Path) -> torch.Tensor:
    photos = (tmp_path / f"{name}.png" for name in ("a", "b"))
    return normalised([square(PhotoFile(p, p.read_bytes()), 32) for p in photos], *IMAGENET)


def network(tmp_path: Path) -> Residual:
    model = Residual()
    model.load_state_dict(torch.load(tmp_path / "w.pt", weights_only=True))
    return model.eval()


def manifest(tmp_path: Path) -> dict:
    return json.loads((tmp_path / "out" / "manifest.json").read_text())


@pytest.mark.parametrize(
    ("word", "classes"),
    [
        ("2", [2]),
        ("espresso", [2]),  # a whole name is that class alone
        ("ESPRESSO MAKER", [3]),
        ("cat", [0, 1]),
        ("maker", [3]),
        ("egypt", [0]),
    ],
)
def test_a_class_is_found_by_number_name_or_part(word: str, classes: list[int]) -> None:
    assert classes_called(word, NAMES, 4) == classes


def test_a_word_is_found_before_letters() -> None:
    names = class_names()
    cats = {names[i] for i in classes_called("cat", names, 1000)}
    assert {"Egyptian cat", "tiger cat", "Siamese cat"} <= cats
    assert "catamaran" in names and "catamaran" not in cats
    assert [names[i] for i in classes_called("espresso", names, 1000)] == ["espresso"]


@pytest.mark.parametrize("word", ["dog", "", "c.t", "4", "-1"])
def test_a_class_that_is_not_there(word: str) -> None:
    with pytest.raises(BadInput, match=r"--target"):
        classes_called(word, NAMES, 4)


def test_a_row_a_class_each_against_the_others(
    asked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    methods = ["naflow", "gradcam"]
    assert main([*asked, *methods, "--target", "cat", "espresso", "--layers", "all"]) == 0
    assert re.search(
        r"a\.png: .+ cat \(\d+%\), espresso \((\d+|below 1)%\) ->", capsys.readouterr().out
    )
    content = manifest(tmp_path)
    assert content["settings"]["target"] == {"cat": [0, 1], "espresso": [2]}
    model, photos = network(tmp_path), images(tmp_path)
    cats = model(photos)[:, :2].argmax(1).tolist()
    wanted = {
        ("naflow", "cat"): NAFlow(model)(photos, ClassLogit(cats)),
        ("naflow", "espresso"): NAFlow(model)(photos, ClassLogit(2)),
        ("gradcam", "cat"): GradCAM(model)(photos, ClassContrast(cats)),
        ("gradcam", "espresso"): GradCAM(model)(photos, ClassContrast(2)),
    }
    for row, (key, entry) in enumerate(sorted(content["photos"].items())):
        assert set(entry["methods"]) == {f"{method}/{word}" for method, word in wanted}
        named = {file for said in entry["methods"].values() for file in said["files"]}
        assert {f"{key}/{method}/classes.png" for method in methods} <= named
        assert all((tmp_path / "out" / file).is_file() for file in named)
        for (method, word), flow in wanted.items():
            explained = entry["methods"][f"{method}/{word}"]["explained"]
            assert explained["index"] == (cats[row] if word == "cat" else 2)
            probability = model(photos)[row].softmax(0)[explained["index"]].item()
            assert explained["confidence"] == pytest.approx(probability, rel=1e-4)
            with np.load(tmp_path / "out" / key / method / word / "maps.npz") as maps:
                for layer, found in flow:
                    np.testing.assert_allclose(
                        maps[layer], found[row].detach().numpy(), rtol=1e-3, atol=1e-6
                    )
    assert len(entry["predictions"]) == 4
    before = (tmp_path / "out" / "manifest.json").read_bytes()
    assert main([*asked, *methods, "--target", "cat", "espresso", "--layers", "all"]) == 0
    assert (tmp_path / "out" / "manifest.json").read_bytes() == before


def test_a_row_a_class_is_a_row_of_the_picture(asked: list[str], tmp_path: Path) -> None:
    heights = []
    for words in (["espresso", "cat"], ["espresso", "cat", "3"]):
        out = str(tmp_path / f"out{len(words)}")
        assert main([*asked, "gradcam", "--target", *words, "--out", out, "--quiet"]) == 0
        [first, _] = sorted(Path(out).glob("*/gradcam/classes.png"))
        with Image.open(first) as picture:
            heights.append(picture.height)
    assert heights[1] - heights[0] == pytest.approx(160 * 1.2, rel=0.1)


def test_blocks_are_drawn_unless_layers_are_asked_for(asked: list[str], tmp_path: Path) -> None:
    flow = GradCAM(network(tmp_path))(images(tmp_path))
    for layers, wanted in (
        ([], flow.blocks),
        (["--layers", "blocks"], flow.blocks),
        (["--layers", "all"], flow.layers),
        (["--layers", "layer1.*", "conv1"], [n for n in flow.layers if n[:2] in ("la", "co")]),
    ):
        out = ["--out", str(tmp_path / str(len(layers)) / (layers or [""])[-1])]
        assert main([*asked, "gradcam", "naflow", *layers, *out, "--quiet"]) == 0
        content = json.loads((Path(out[1]) / "manifest.json").read_text())
        for entry in content["photos"].values():
            for said in entry["methods"].values():
                assert said["layers"] == wanted
        assert len(flow.blocks) < len(flow.layers)


def test_a_method_that_pays_for_every_layer_is_given_the_blocks_alone(
    asked: list[str], tmp_path: Path
) -> None:
    assert main([*asked, "cf_cam", "--quiet"]) == 0
    [entry, _] = manifest(tmp_path)["photos"].values()
    assert (
        entry["methods"]["cf_cam"]["layers"] == GradCAM(network(tmp_path))(images(tmp_path)).blocks
    )


def test_a_layer_that_may_be_lost_to_merging_costs_nothing_by_default(asked: list[str]) -> None:
    assert main([*asked, "naflow", "--preset", "paper", "--quiet"]) == 0


def test_without_a_model_it_is_the_one_that_comes_with_its_weights(tmp_path: Path) -> None:
    skimage = pytest.importorskip("skimage", reason="scikit-image brings the photographs")
    photo = Path(skimage.__file__).parent / "data" / "coffee.png"
    words = ["explain", str(photo), "--method", "gradcam", "--target", "espresso", "--quiet"]
    assert main([*words, "--device", "cpu", "--out", str(tmp_path / "out")]) == 0
    content = manifest(tmp_path)
    assert content["settings"]["model"] == "efficientnet_lite0"
    assert content["settings"]["weights"]["file"] == "efficientnet-lite0-57934424.pth"
    assert content["settings"]["target"] == 967
    [entry] = content["photos"].values()
    assert [one["name"] for one in entry["predictions"][:2]] == ["espresso", "cup"]
    assert entry["predictions"][0]["confidence"] == pytest.approx(0.944, abs=0.01)
    assert len(entry["methods"]["gradcam"]["layers"]) == 9


def test_words_of_layers() -> None:
    known = ["conv1", "layer1.0.add", "layer1.0", "layer1.1", "layer2.0"]
    assert chosen(["blocks"], known).said == "blocks"
    assert chosen(["all"], known).said == "all"
    assert chosen(["layer1.?", "conv1", "layer1.0"], known).names == (
        "conv1",
        "layer1.0",
        "layer1.1",
    )
    assert chosen(["all"], ["all", "more"]).names == ("all",)
    with pytest.raises(BadInput, match=r"no layer 'layer9\.\*'.*blocks or all alone, or a pattern"):
        chosen(["layer9.*"], known)
