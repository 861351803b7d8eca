"""The stage on small scenes: what it writes, what it leaves out, and what it does not do twice."""

import shutil

import pandas as pd
import pytest
import torch
from PIL import Image, ImageOps

import naflow.models
from naflow.errors import BadInput
from pipeline import measure as stage
from pipeline.measuring import panel
from pipeline.models import weights


@pytest.fixture
def cfg(config, untrained):
    return lambda *more: config(
        "explain.pictures=4", "explain.batch=2", "measure.steps=2", "measure.deep=3", *more
    )


def test_a_row_a_picture_and_layer(cfg):
    path = stage.measure(cfg("method=hirescam"), "hirescam")
    assert path.parts[-3:] == ("measured", "resnet18", "hirescam.csv")
    table = pd.read_csv(path)
    assert len(table) == 4 * 16 and table["layer"].nunique() == 16  # to the last of 2 x 2 pixels
    assert table["share"].between(0, 1).all()
    deep = table.dropna(subset="own")
    assert deep["layer"].nunique() == 3 and deep["gain"].between(-1, 1).all()
    assert (deep["gain"] - (deep["insertion"] - deep["deletion"])).abs().max() < 2e-6
    flows = pd.read_csv(path.with_suffix(".flow.csv"))
    assert len(flows) == 4 and flows["smoothness"].between(0, 1).all()


def test_nothing_is_measured_twice(cfg, monkeypatch):
    path = stage.measure(cfg("method=gradcam"), "gradcam")
    first = path.read_bytes()
    calls = []
    tables = pd.DataFrame({"picture": ["p"]}), pd.DataFrame({"picture": ["p"]})
    monkeypatch.setattr(stage, "of_panel", lambda *_: calls.append(1) or tables)
    assert stage.measure(cfg("method=gradcam"), "gradcam").read_bytes() == first and not calls
    stage.measure(cfg("method=gradcam", "measure.steps=3"), "gradcam")
    assert len(calls) == 2


def test_more_pictures_are_measured_alone(cfg, monkeypatch):
    path = stage.measure(cfg("method=hirescam", "explain.pictures=2"), "hirescam")
    first, original, calls = pd.read_csv(path), stage.of_panel, []
    monkeypatch.setattr(stage, "of_panel", lambda *a: calls.append(a[-1]) or original(*a))
    stage.measure(cfg("method=hirescam"), "hirescam")
    assert calls == [1]  # of the batches 0 and 1
    pd.testing.assert_frame_equal(pd.read_csv(path)[: len(first)], first)
    once = path.read_bytes()
    path.unlink()  # a run that was killed before its end
    stage.measure(cfg("method=hirescam"), "hirescam")
    assert calls == [1] and path.read_bytes() == once


def test_a_picture_that_was_replaced_is_measured_again(cfg, scenes, tmp_path, monkeypatch):
    own = tmp_path / "scenes"
    shutil.copytree(scenes, own)
    settings = cfg("method=hirescam", f"images.root={own}")
    table = pd.read_csv(stage.measure(settings, "hirescam"))
    picture = own / "images" / f"{table['picture'].unique()[3]}.png"
    with Image.open(picture) as image:
        ImageOps.invert(image.convert("RGB")).save(picture)
    original, calls = stage.of_panel, []
    monkeypatch.setattr(stage, "of_panel", lambda *a: calls.append(a[-1]) or original(*a))
    stage.measure(settings, "hirescam")
    assert calls == [1]  # the batch of the fourth picture


def test_blocks_and_what_maps_owe_to_the_question(cfg):
    settings = cfg("method=hirescam", "measure.sanity=true", "measure.layers=blocks")
    table = pd.read_csv(stage.measure(settings, "hirescam"))
    assert table["layer"].nunique() < 16 and table["depth"].max() == 1
    assert (table["area"] * table["ratio"] - table["share"]).abs().max() < 0.05
    for other in ("redrawn", "absent"):
        assert table[f"{other}_rank"].dropna().between(-1, 1).all()
        assert (table[f"{other}_share"].isna() == (table[f"{other}_empty"] == 1)).all()
    assert table["redrawn_share"].notna().any()


@pytest.fixture
def likeness(config, tmp_path):
    """The settings of a similarity: three pictures before an embedding."""
    torch.manual_seed(0)
    network = naflow.models.create("resnet18_npid")
    weights.save(tmp_path / "weights.safetensors", "resnet18_npid", network, None)
    cfg = config("model=resnet18_npid", "recipe.size=32", "explain.pictures=3", "measure.deep=2")
    cfg.recipe.verify.part = cfg.recipe.verify.known = {"group": "base", "split": "test"}
    cfg.measure.steps, cfg.method = 2, {"_target_": "naflow.explainers.HiResCAM"}
    return cfg


def test_likenesses_too(likeness):
    table = pd.read_csv(stage.measure(likeness, "hirescam"))
    assert table["reference"].notna().all()
    assert table["own"].between(-1, 1).sum() == 6


def test_likenesses_contrasted_with_the_known_pictures(likeness):
    plain = pd.read_csv(stage.measure(likeness, "hirescam"))
    likeness.measure.contrast = likeness.measure.sanity = True
    table = pd.read_csv(stage.measure(likeness, "hirescam"))
    assert (table["reference"] == plain["reference"]).all()
    assert (table["share"] - plain["share"]).abs().max() > 0.01
    assert table["absent_rank"].between(-1, 1).all() and table["redrawn_rank"].isna().all()


def test_a_contrast_without_known_pictures_is_refused(cfg):
    with pytest.raises(BadInput, match=r"resnet18 has no known pictures to contrast"):
        stage.measure(cfg("method=hirescam", "measure.contrast=true"), "hirescam")


def test_layers_evenly_over_the_depth():
    layers = list("abcdefghij")
    assert stage.spread(layers, 2) == ["c", "h"]
    assert stage.spread(layers, 5) == ["b", "d", "f", "h", "j"]
    assert stage.spread(layers, 12) == layers


def test_pictures_without_an_object_are_left_out(cfg, monkeypatch):
    original = panel.objects

    def without_first(*args):
        masks = original(*args)
        masks[0] = False
        return masks

    monkeypatch.setattr(panel, "objects", without_first)
    table = pd.read_csv(stage.measure(cfg("method=gradcam"), "gradcam"))
    assert table["picture"].nunique() == 2


def test_no_object_at_all_is_said(cfg, monkeypatch):
    monkeypatch.setattr(panel, "objects", lambda *_: torch.zeros(2, 32, 32, dtype=torch.bool))
    with pytest.raises(BadInput, match=r"None of the 4 pictures of .* shows an object"):
        stage.measure(cfg("method=gradcam"), "gradcam")


def test_maps_inside_blocks_under_a_name_of_ones_own(cfg):
    config = cfg("method=hirescam", "measure.name=inside", "measure.detail=true")
    table = pd.read_csv(stage.measure(config, config.measure.name))
    assert table["layer"].str.contains("layer1.0.conv1").any()
    assert table.dropna(subset="own")["layer"].nunique() == 3


def test_dear_measures_for_the_first_pictures_alone(cfg):
    table = pd.read_csv(stage.measure(cfg("method=gradcam", "measure.judged=1"), "gradcam"))
    assert table.dropna(subset="ratio")["picture"].nunique() == 4
    judged = table.dropna(subset="gain")
    assert judged["picture"].nunique() == 2  # a whole batch
    assert judged["layer"].nunique() == 3


def test_shards_are_refused(cfg):
    with pytest.raises(BadInput, match=r"explain.shards=2: .* shared out by model and method"):
        stage.measure(cfg("method=gradcam", "explain.shards=2"), "gradcam")
