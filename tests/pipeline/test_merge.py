"""Jobs in shards: together they make what one run makes, whatever is killed, and it is merged."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from torchvision.models import resnet18

from naflow.errors import BadInput
from pipeline import explain as stage
from pipeline.evaluate import evaluate
from pipeline.explanations import maps, parts
from pipeline.explanations.store import Store
from pipeline.merge import merge
from pipeline.models import weights


@pytest.fixture
def cfg(config, tmp_path, scenes):
    """Five pictures in parts of two, from a copy of the scenes that a test may change."""
    shutil.copytree(scenes, tmp_path / "scenes")
    weights.save(
        tmp_path / "weights.safetensors", "resnet18", resnet18(num_classes=2), ["cross", "disc"]
    )
    small = (f"images.root={tmp_path}/scenes", "explain.pictures=5", "explain.batch=2")
    return lambda *more: config("method=gradcam", *small, *more)


@pytest.fixture
def shard(cfg):
    """Make the parts of one of two shards; returns the folder."""

    def made(number, *more):
        return stage.explain(cfg(f"explain.shard={number}", "explain.shards=2", *more), "gradcam")

    return made


@pytest.fixture
def written(monkeypatch):
    """The names of the parts that are computed; `written.limit` ends the run as a kill would."""

    class Written(list):
        limit = None

    written, write = Written(), parts.write

    def counting(path, *rest):
        if len(written) == written.limit:
            raise KeyboardInterrupt
        written.append(path.name)
        write(path, *rest)

    monkeypatch.setattr(parts, "write", counting)
    return written


def contents(folder, pattern="part-*.npz"):
    return {path.name: path.read_bytes() for path in folder.glob(pattern)}


def arrays(found):
    """Everything in loaded maps, as bytes."""
    stats = {f"{n}/{f}": v for n, fields in found.stats.items() for f, v in fields.items()}
    numbers = {"score": found.score, "confidence": found.confidence, "weights": found.weights}
    whole = found.maps | stats | numbers | {"prediction": found.prediction}
    return {name: (values.shape, values.tolist()) for name, values in whole.items()}


@pytest.mark.parametrize("method", ["naflow", "gradcam"])
def test_shards_make_what_one_run_makes(cfg, shard, tmp_path, method):
    whole = stage.explain(cfg(f"method={method}", f"results={tmp_path}/whole"), "gradcam")
    for number in (1, 0):
        folder = shard(number, f"method={method}")
        with pytest.raises(BadInput, match=r"no finished maps.*python -m pipeline.merge"):
            maps.load(folder)
    assert contents(folder) == contents(whole)
    assert merge(tmp_path / "results") == [folder]
    manifest = "manifest.json"
    assert (folder / manifest).read_bytes() == (whole / manifest).read_bytes()
    assert sorted(path.name for path in folder.iterdir()) == [manifest, "maps.zarr"]
    found, expected = maps.load(folder), maps.load(whole)
    assert (found.cases, found.labels) == (expected.cases, expected.labels)
    assert arrays(found) == arrays(expected)
    for row, case in enumerate(expected.cases):
        assert np.array_equal(Store(folder).map(case, "relu"), expected.maps["relu"][row])


def test_a_killed_shard_loses_one_part_and_others_nothing(shard, written, tmp_path):
    written.limit = 1
    with pytest.raises(KeyboardInterrupt):
        shard(0)
    assert written == ["part-000.npz"]
    written.limit = None
    folder = shard(1)
    told = r"gradcam lacks 1 of 3 parts \(2\).*[\s]+Run the command of explain again"
    with pytest.raises(BadInput, match=told):
        merge(tmp_path / "results")
    shard(0)
    assert written == ["part-000.npz", "part-001.npz", "part-002.npz"]
    assert merge(tmp_path / "results") == [folder]


def test_what_is_there_is_not_made_again(shard, written, tmp_path):
    for number in (0, 1, 0):
        folder = shard(number)
    assert len(written) == 3
    merge(tmp_path / "results")
    stored = contents(folder, "*.json")
    shard(0)
    shard(1)
    assert len(written) == 3
    assert contents(folder, "*.json") == stored
    assert merge(tmp_path / "results") == []


def test_any_number_of_runs_goes_on_from_the_parts_of_any_other(cfg, shard, written):
    shard(1)
    assert written == ["part-001.npz"]
    assert len(maps.load(stage.explain(cfg(), "gradcam")).cases) == 5
    assert sorted(written) == ["part-000.npz", "part-001.npz", "part-002.npz"]


def test_a_replaced_picture_makes_its_part_anew(cfg, shard, written, tmp_path):
    folder = shard(0)
    shard(1)
    merge(tmp_path / "results")
    before = maps.load(folder)
    path = tmp_path / "scenes" / "images" / f"{before.cases[2].picture}.png"
    Image.open(path).transpose(Image.Transpose.FLIP_TOP_BOTTOM).save(path)
    written.clear()
    shard(1)
    shard(0)
    assert written == ["part-001.npz"]
    with pytest.raises(BadInput, match="no finished maps"):
        maps.load(folder)
    assert merge(tmp_path / "results") == [folder]
    after = maps.load(folder)
    same = [
        np.array_equal(*pair)
        for pair in zip(before.maps["layer1.0"], after.maps["layer1.0"], strict=True)
    ]
    assert same == [True, True, False, True, True]
    anew = maps.load(stage.explain(cfg(f"results={tmp_path}/anew"), "gradcam"))
    assert arrays(after) == arrays(anew)


def test_a_single_run_starts_a_merged_job_anew(cfg, shard, written, tmp_path):
    folder = shard(0)
    shard(1)
    merge(tmp_path / "results")
    stage.explain(cfg(), "gradcam")
    assert len(written) == 6
    assert not (folder / "maps.zarr").exists()
    assert merge(tmp_path / "results") == [folder]  # the parts of one run, too


def test_parts_of_two_jobs_are_not_mixed(shard, tmp_path):
    shard(0)
    folder = shard(1, "seed=1")
    with pytest.raises(BadInput, match=r"lacks 2 of 3 parts \(0, 2\)"):
        merge(tmp_path / "results")
    shard(0, "seed=1")
    merge(tmp_path / "results")
    assert json.loads((folder / "manifest.json").read_text())["seed"] == 1


def test_what_is_complete_is_merged_beside_what_is_not(cfg, shard, tmp_path):
    complete = shard(0)
    shard(1)
    alone = cfg("explain.shards=2", "method=layercam")
    lacking = stage.explain(alone, "layercam")
    with pytest.raises(BadInput, match=r"layercam lacks 1 of 3 parts \(1\)") as told:
        merge(tmp_path / "results")
    assert "gradcam" not in str(told.value)
    assert (complete / "maps.zarr").exists()
    assert not (lacking / "maps.zarr").exists()


def test_nothing_to_merge(tmp_path):
    with pytest.raises(BadInput, match=r"holds no parts. Make them"):
        merge(tmp_path)
    part = tmp_path / "maps" / "resnet18" / "gradcam" / "part-000.npz"
    part.parent.mkdir(parents=True)
    part.touch()
    with pytest.raises(BadInput, match=r"neither manifest.json nor job.json"):
        merge(tmp_path)


@pytest.mark.parametrize("number", [2, -1])
def test_a_shard_that_there_is_not(shard, number):
    with pytest.raises(BadInput, match=rf"explain.shard={number}: there is none .*shards=2"):
        shard(number)


def test_merged_maps_are_evaluated_as_parts_are(cfg, shard, tmp_path):
    shard(0)
    shard(1)
    stage.explain(cfg(f"results={tmp_path}/whole"), "gradcam")
    merge(tmp_path / "results")
    asked = ("evaluate.method=gradcam", "evaluate.resamples=20")
    found, expected = (
        contents(evaluate(cfg(f"results={tmp_path}/{where}", *asked)), "*.csv")
        for where in ("results", "whole")
    )
    assert found == expected
