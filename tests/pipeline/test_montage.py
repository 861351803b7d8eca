"""The montage: every method and layer there is, blanks where a method has no map."""

import json

import numpy as np
import pandas as pd
import pytest
from made_maps import LAYERS, made
from matplotlib.image import imread
from omegaconf import OmegaConf
from small_material import outside, overlapping, sizes, words
from torchvision.models import resnet18

from naflow.errors import BadInput
from naflow.methods import ordered
from pipeline.evaluate import evaluate
from pipeline.explain import explain
from pipeline.explanations import maps
from pipeline.explanations.cases import Case
from pipeline.explanations.manifest import sealed
from pipeline.models import weights
from pipeline.montage import columns, draw, montage

CASES = [Case("disc_test_000"), Case("cross_test_000")]
METHODS = {
    "gradcam": ("Grad-CAM", LAYERS, {}),
    "score_cam": ("Score-CAM (2 channels)", LAYERS, {"most": 2}),
    "fullgrad": ("FullGrad", {"input": (32, 32)}, {}),
    "naflow_damped": ("NAFlow (damped)", LAYERS, {"preset": "damped"}),
}


@pytest.fixture
def folder(config, tmp_path):
    """Maps of four methods, one of which has another layer than the rest."""
    images = OmegaConf.to_container(config().images, resolve=True)
    for method, (name, layers, settings) in METHODS.items():
        place = tmp_path / "results" / "maps" / "resnet18" / method
        made(place, images, CASES, layers=layers)
        manifest = json.loads((place / "manifest.json").read_text()) | {"method": name}
        manifest["settings"]["method"] = {"_target_": "any.method"} | settings
        (place / "manifest.json").write_text(json.dumps(sealed(manifest)))
    return tmp_path / "results" / "maps" / "resnet18"


@pytest.fixture
def found(folder):
    return {method: maps.load(folder / method) for method in ordered(METHODS)}


def rows_of(figure):
    """The axes that hold a row of panels."""
    return [ax for ax in figure.axes if ax.get_xlim() == (0, 4)]


def test_a_row_a_method_and_picture_and_a_column_a_layer(found):
    assert columns(found) == ["input", *LAYERS]
    figure = draw(found)
    rows = [[round(image.get_extent()[0]) for image in ax.images] for ax in rows_of(figure)]
    assert list(found) == ["gradcam", "naflow_damped", "score_cam", "fullgrad"]
    of_method = {method: [0] if method == "fullgrad" else [1, 2, 3] for method in found}
    assert rows == [columns for columns in of_method.values() for _ in CASES]


def test_what_is_drawn_are_the_maps(found):
    """Where a map is largest, its panel is darkest red: least blue of all."""
    panel = (
        rows_of(draw(found))[0].images[2].get_array()
    )  # gradcam, the first picture, the deepest layer
    values = found["gradcam"].maps["block.1"][0]
    at = np.unravel_index(values.argmax(), values.shape)
    blue = panel[..., 2].reshape(2, 16, 2, 16).mean((1, 3))
    assert blue.argmin() == np.ravel_multi_index(at, values.shape)


def test_everything_can_be_read(found):
    figure = draw(found)
    assert min(sizes(figure)) >= 5
    assert outside(figure) == []
    assert overlapping(figure) == []
    written = words(figure)
    for word in (
        *("NAFlow", "(damped)", "Score-CAM", "(2 channels)", "input", "block.0", "4×6", "disc"),
        *("Every method at every layer of resnet18", "Score-CAM: most 2", "Blank: ", "99.5th"),
        "disc_test_000, predicted cross, probability 0.600",
    ):
        assert word in written, word


def test_a_likeness_is_told_with_its_reference(config, tmp_path):
    pairs = [Case("disc_test_000", "cross_test_001"), Case("cross_test_001", "disc_test_000")]
    images = OmegaConf.to_container(config().images, resolve=True)
    made(tmp_path / "small" / "gradcam", images, pairs)
    loaded = maps.load(tmp_path / "small" / "gradcam")
    loaded.manifest["settings"]["method"] = {}
    written = words(draw({"gradcam": loaded}))
    assert "disc_test_000, alike to cross_test_001, cosine 0.600" in written
    assert "predicted" not in written and "Settings" not in written


def test_many_layers_can_be_read(folder, config):
    images = OmegaConf.to_container(config().images, resolve=True)
    layers = {f"layer{n // 4}.{n % 4}.add": (64, 64) for n in range(20)}
    made(folder / "naflow_damped", images, CASES, layers={"input": (128, 128)} | layers)
    manifest = json.loads((folder / "naflow_damped" / "manifest.json").read_text())
    manifest["settings"]["method"] = {}
    (folder / "naflow_damped" / "manifest.json").write_text(json.dumps(sealed(manifest)))
    figure = draw({"naflow_damped": maps.load(folder / "naflow_damped")})
    assert outside(figure) == []
    assert overlapping(figure) == []


def test_the_file(folder, config, tmp_path):
    path = montage(config())
    assert path == tmp_path / "figures" / "montage.png"
    first = path.read_bytes()
    assert imread(path).shape[1] == int(7.16 * 160)
    assert montage(config()).read_bytes() == first


def test_maps_of_the_stage(config, tmp_path):
    """A method with one layer beside one with all: both are measured, and both are drawn."""
    network = resnet18(num_classes=2)
    weights.save(tmp_path / "weights.safetensors", "resnet18", network, ["cross", "disc"])
    for method in ("gradcam", "fullgrad"):
        explain(config(f"method={method}", "explain.pictures=2"), method)
    found = maps.load(tmp_path / "results" / "maps" / "resnet18" / "fullgrad")
    assert list(found.maps) == ["input"] and found.maps["input"].shape == (2, 32, 32)
    folder = evaluate(config("evaluate.method=gradcam", "evaluate.resamples=10"))
    table = pd.read_csv(folder / "localisation.csv").set_index("method")
    assert table.loc["fullgrad", "layer"] == "input"
    other = maps.load(tmp_path / "results" / "maps" / "resnet18" / "gradcam")
    assert list(table.loc["gradcam", "layer"]) == list(other.maps)
    assert montage(config()).exists()


def test_maps_that_do_not_fit(folder, config):
    made(
        folder / "gradcam",
        OmegaConf.to_container(config().images, resolve=True),
        [Case("disc_test_001")],
    )
    with pytest.raises(BadInput, match="no picture 'disc_test_001'"):
        montage(config())
    with pytest.raises(BadInput, match=r"resnet50 holds no finished maps. Make them"):
        montage(config("model=resnet50", "recipe.size=32"))
