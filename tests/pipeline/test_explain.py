"""The stage: what it writes, what it goes on from, what it makes anew."""

import json

import numpy as np
import pytest
from torchvision.models import resnet18

from naflow.errors import BadInput
from pipeline import explain as stage
from pipeline import maps, weights
from pipeline.images import Picture


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

    calls, write = Calls(), maps.write_part

    def counting(path, *rest):
        if calls.limit is not None and len(calls) == calls.limit:
            raise KeyboardInterrupt
        calls.append(path.name)
        write(path, *rest)

    monkeypatch.setattr(maps, "write_part", counting)
    return calls


def digests(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_maps_with_everything_a_figure_says(cfg):
    folder = stage.explain(cfg(), "naflow", "resnet18")
    found = maps.load(folder)
    assert found.manifest["method"] == "NAFlow (damped)"
    assert found.manifest["seed"] == 0
    assert found.ids[:2] == ["disc_test_000", "cross_test_000"]
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
    found = maps.load(stage.explain(cfg(f"method={method}"), method, "resnet18"))
    assert found.stats == {}
    assert len(found.maps) > 10


def test_a_killed_run_goes_on_and_a_finished_one_starts_anew(cfg, calls):
    whole = digests(stage.explain(cfg("method=gradcam"), "gradcam", "whole"))
    calls.clear()
    calls.limit = 2
    with pytest.raises(KeyboardInterrupt):
        stage.explain(cfg("method=gradcam"), "gradcam", "killed")
    calls.clear()
    calls.limit = None
    folder = stage.explain(cfg("method=gradcam"), "gradcam", "killed")
    assert calls == ["part-002.npz"]
    assert digests(folder) == whole
    stage.explain(cfg("method=gradcam"), "gradcam", "killed")
    assert len(calls) == 4


def test_parts_of_other_settings_are_not_kept(cfg, calls):
    calls.limit = 2
    with pytest.raises(KeyboardInterrupt):
        stage.explain(cfg("method=gradcam"), "gradcam", "resnet18")
    calls.clear()
    calls.limit = None
    stage.explain(cfg("method=hirescam"), "gradcam", "resnet18")
    assert len(calls) == 3


def test_unfinished_maps_are_refused(cfg, calls, tmp_path):
    calls.limit = 1
    with pytest.raises(KeyboardInterrupt):
        stage.explain(cfg("method=gradcam"), "gradcam", "resnet18")
    with pytest.raises(BadInput, match="holds no finished maps"):
        maps.load(tmp_path / "results" / "shapes" / "gradcam" / "resnet18")


def test_classes_in_turn():
    pictures = [Picture(f"{c}{n}", None, c, "test") for c in "ab" for n in range(3)]
    assert [p.id for p in stage.in_turn(pictures, 5)] == ["a0", "b0", "a1", "b1", "a2"]
