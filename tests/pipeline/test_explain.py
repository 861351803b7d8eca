"""The stage: what it writes, what it goes on from, what it makes anew."""

import json

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from PIL import Image
from torchvision.models import resnet18

import naflow.models
from naflow.errors import BadInput
from pipeline import explain as stage
from pipeline.explanations import batches, cases, maps, parts
from pipeline.explanations.cases import Case
from pipeline.models import weights


@pytest.fixture
def cfg(config, tmp_path):
    weights.save(
        tmp_path / "weights.safetensors", "resnet18", resnet18(num_classes=2), ["cross", "disc"]
    )
    return lambda *more: config("explain.pictures=5", "explain.batch=2", *more)


@pytest.fixture
def calls(monkeypatch):
    """Counts the parts that are computed; `calls.limit` stops the run as a kill would."""

    class Calls(list):
        limit = None

    calls, write = Calls(), parts.write

    def counting(path, *rest):
        if calls.limit is not None and len(calls) == calls.limit:
            raise KeyboardInterrupt
        calls.append(path.name)
        write(path, *rest)

    monkeypatch.setattr(parts, "write", counting)
    return calls


def digests(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_maps_with_everything_a_figure_says(cfg):
    folder = stage.explain(cfg("method=naflow_damped"), "naflow_damped")
    found = maps.load(folder)
    assert found.manifest["method"] == "NAFlow (damped)"
    assert found.manifest["seed"] == 0
    assert found.cases[:2] == [Case("disc_test_000"), Case("cross_test_000")]
    assert found.row(Case("cross_test_000")) == 1
    with pytest.raises(BadInput, match=r"no picture 'cross_test_0'. Did you mean"):
        found.row(Case("cross_test_0"))
    assert found.weights.shape == (5, 0)
    assert found.labels[:2] == [
        "disc",
        "cross",
    ]
    assert list(found.maps) == found.manifest["layers"]
    assert "layer1.0" in found.maps
    for layer, values in found.maps.items():
        assert values.dtype == np.float32 and len(values) == 5 and np.isfinite(values).all(), layer
    assert ((found.confidence > 0.5 - 1e-6) & (found.confidence <= 1)).all()
    assert found.stats["relu"]["stop"].shape == (5,)
    assert found.stats["relu"]["residual"].dtype.kind == "f"
    assert (
        json.loads((folder / "manifest.json").read_text())["settings"]["method"]["preset"]
        == "damped"
    )


@pytest.mark.parametrize("method", ["gradcam", "hirescam", "layercam"])
def test_every_method_answers_with_the_same_layers(cfg, method):
    found = maps.load(stage.explain(cfg(f"method={method}"), method))
    assert found.stats == {}
    assert len(found.maps) > 10


def test_a_killed_run_goes_on_and_a_finished_one_starts_anew(cfg, calls):
    whole = digests(stage.explain(cfg("method=gradcam"), "gradcam"))
    calls.clear()
    calls.limit = 2
    with pytest.raises(KeyboardInterrupt):
        stage.explain(cfg("method=gradcam"), "gradcam")
    calls.clear()
    calls.limit = None
    folder = stage.explain(cfg("method=gradcam"), "gradcam")
    assert calls == ["part-002.npz"]
    assert digests(folder) == whole
    stage.explain(cfg("method=gradcam"), "gradcam")
    assert len(calls) == 4


def test_parts_of_other_settings_are_not_kept(cfg, calls):
    calls.limit = 2
    with pytest.raises(KeyboardInterrupt):
        stage.explain(cfg("method=gradcam"), "gradcam")
    calls.clear()
    calls.limit = None
    stage.explain(cfg("method=hirescam"), "gradcam")
    assert len(calls) == 3


def test_unfinished_maps_are_refused(cfg, calls, tmp_path):
    calls.limit = 1
    with pytest.raises(KeyboardInterrupt):
        stage.explain(cfg("method=gradcam"), "gradcam")
    with pytest.raises(BadInput, match="holds no finished maps"):
        maps.load(tmp_path / "results" / "maps" / "resnet18" / "gradcam")


@pytest.fixture
def embedder(config, tmp_path):
    """The configuration of a few-shot network: an embedding, explained by likenesses."""
    torch.manual_seed(0)
    network = naflow.models.create("conv4net")
    weights.save(tmp_path / "weights.safetensors", "conv4net", network, None)

    def composed(*more):
        cfg = config("model=conv4net", "recipe.size=32", "explain.pictures=3", *more)
        cfg.recipe.verify.part = {"group": "base", "split": "test"}
        return cfg

    return composed


def test_an_embedding_is_explained_by_what_makes_it_alike(embedder, tmp_path):
    found = maps.load(stage.explain(embedder("method=gradcam"), "gradcam"))
    assert [case.picture for case in found.cases] == [
        "disc_test_000",
        "cross_test_000",
        "disc_test_001",
    ]
    assert all(case.reference not in ("", case.picture) for case in found.cases)
    assert (found.prediction == -1).all()
    assert ((found.confidence > -1) & (found.confidence <= 1 + 1e-6)).all()
    np.testing.assert_allclose(found.weights.sum(1), 1, rtol=1e-5)
    layers = [layer for layer, values in found.maps.items() if (values > 0).any()]
    assert len(layers) > 5


def test_both_sides_of_a_likeness_share_their_weights(embedder, tmp_path):
    pair = Case("disc_test_000", "cross_test_001")
    cases.write(tmp_path / "cases.json", [pair, pair.turned])
    cfg = embedder("method=naflow", f"explain.cases={tmp_path}/cases.json")
    found = maps.load(stage.explain(cfg, "naflow"))
    assert found.cases == [pair, pair.turned]
    assert found.labels == ["disc", "cross"]
    np.testing.assert_allclose(found.weights[0], found.weights[1], rtol=1e-5)
    assert found.confidence[0] == pytest.approx(found.confidence[1], rel=1e-5)
    for layer, (one, other) in found.maps.items():
        assert not np.array_equal(one, other), layer


def test_a_case_of_an_unknown_picture_is_refused(embedder, tmp_path):
    cases.write(tmp_path / "cases.json", [Case("disc_test_0000", "cross_test_001")])
    with pytest.raises(BadInput, match=r"no picture 'disc_test_0000'. Did you mean"):
        stage.explain(embedder(f"explain.cases={tmp_path}/cases.json"), "naflow")


def test_a_case_without_a_reference_is_refused(embedder, tmp_path):
    cases.write(tmp_path / "cases.json", [Case("disc_test_000")])
    with pytest.raises(BadInput, match=r"disc_test_000 has no 'reference', and conv4net gives"):
        stage.explain(embedder(f"explain.cases={tmp_path}/cases.json"), "naflow")


@pytest.fixture
def decoded(monkeypatch):
    """How many pictures were decoded at a time."""
    counts, read = [], batches.read

    def counting(pictures, *rest, **settings):
        counts.append(len(pictures))
        return read(pictures, *rest, **settings)

    monkeypatch.setattr(batches, "read", counting)
    return counts


def test_a_batch_of_pictures_is_read_at_a_time(cfg, decoded):
    stage.explain(cfg("method=gradcam"), "gradcam")
    assert decoded == [2, 2, 1]


def test_known_pictures_are_embedded_a_few_at_a_time(embedder, decoded, monkeypatch, tmp_path):
    asked = ("method=gradcam", "explain.batch=1", "explain.known=4")
    whole = maps.load(stage.explain(embedder(*asked), "gradcam"))
    decoded.clear()
    monkeypatch.setattr(batches, "AT_ONCE", 3)
    found = maps.load(stage.explain(embedder(*asked), "gradcam"))
    assert decoded == [1, 3, 1, *[1] * 5]  # a picture, the known, its reference; pictures, ...
    assert found.cases == whole.cases


def test_references_are_the_nearest_by_cosine(embedder, tmp_path):
    whole = ("method=gradcam", "recipe.fit=crop")
    found = maps.load(stage.explain(embedder(*whole), "gradcam"))
    folder = instantiate(embedder().images).group("base")
    seen = embedder().model.input
    network = naflow.models.create("conv4net", tmp_path / "weights.safetensors").eval()
    values = {}
    for picture in folder.split("test"):
        image = np.asarray(Image.open(picture.image).convert("RGB"), np.float32) / 255
        given = ((image - np.array(seen.mean)) / np.array(seen.std)).transpose(2, 0, 1)[None]
        with torch.no_grad():
            value = network(torch.from_numpy(given.astype(np.float32))).flatten().double().numpy()
        values[picture.id] = value / np.linalg.norm(value)
    for case, confidence in zip(found.cases, found.confidence, strict=True):
        others = {key: v @ values[case.picture] for key, v in values.items() if key != case.picture}
        assert case.reference == max(others, key=others.get)
        assert confidence == pytest.approx(others[case.reference], abs=1e-5)


def test_only_the_first_pictures_are_shown(cfg, monkeypatch):
    shown = []
    monkeypatch.setattr(stage, "show", lambda run, batch, flow: shown.extend(batch.cases))
    found = maps.load(stage.explain(cfg("method=gradcam", "explain.shown=3"), "gradcam"))
    assert shown == found.cases[:4]  # of whole batches


def test_a_summary_tells_every_layer(cfg):
    found = maps.load(stage.explain(cfg("method=naflow"), "naflow"))
    table = maps.summary(found).set_index("layer")
    assert list(table.index) == found.manifest["layers"]
    assert table.loc["layer1.0", "height"] == 8
    assert table.loc["relu", "residual"] == pytest.approx(found.stats["relu"]["residual"].mean())
    assert ((table["empty"] >= 0) & (table["empty"] <= 1)).all()
