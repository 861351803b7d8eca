"""The stage: known maps on real scenes give known numbers, and whatever is left out is told."""

import json
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hydra.utils import instantiate

from naflow import Flow
from naflow.errors import BadInput
from pipeline.evaluate import evaluate
from pipeline.explain import settings
from pipeline.explanations import parts
from pipeline.explanations.cases import Case
from pipeline.explanations.job import Job
from pipeline.explanations.questions import PredictedClass
from pipeline.pictures.pixels import read

SIZE = 16


@pytest.fixture
def cfg(config):
    return config(
        "++evaluate.method=naflow",
        "++evaluate.resamples=500",
        "++evaluate.confidence=0.95",
        "++evaluate.tolerance=0",
        f"model.input.size={SIZE}",
    )


@pytest.fixture
def scene(cfg):
    """The pixels of the five first test scenes, as the model sees them."""
    images = instantiate(cfg.images)
    return read(images.split("test")[:5], images.classes, SIZE, cfg.model.input.fit, quiet=True)


def put(cfg, method, layers, cases, model="resnet18"):
    """A finished folder of maps: layer -> (N, h, w)."""
    number = len(cases)
    flow = Flow(
        list(layers), layers, torch.zeros(number), torch.zeros(number).long(),
        torch.zeros(number, 2), method,
    )  # fmt: skip
    folder = Path(cfg.results) / "maps" / model / method
    made = {"method": method, "model": model, "classes": ["disc"], "settings": settings(cfg)}
    job = Job(folder, 1, made | {"seed": 0, "weights_sha256": "0" * 64, "job": "made"})
    job.add(0, "mark", parts.arrays(flow, PredictedClass(), cases, ["disc"] * number))
    job.finish()


def table(folder, name="localisation"):
    return pd.read_csv(folder / f"{name}.csv")


def written(folder):
    figures = folder.parent.parent / "figures"
    files = [*folder.iterdir(), *figures.iterdir()]
    return {path.name: path.read_bytes() for path in files}


def cases_of(scene):
    return [Case(key) for key in scene.ids]


def test_known_maps_give_known_numbers(cfg, scene):
    masks = scene.masks.float()
    put(cfg, "naflow", {"first": masks, "last": 3 * masks}, cases_of(scene))
    put(cfg, "gradcam", {"first": masks + 0.5, "last": torch.ones(5, 4, 4)}, cases_of(scene))
    folder = evaluate(cfg)
    found = table(folder).set_index(["model", "method", "layer"]).loc["resnet18"]
    assert list(found.index) == [
        ("gradcam", "first"), ("gradcam", "last"), ("naflow", "first"), ("naflow", "last"),
    ]  # fmt: skip
    area = scene.masks.numpy().mean((1, 2))
    share = 1.5 * area / (1.5 * area + 0.5 * (1 - area))
    row = found.loc["gradcam", "first"]
    assert row["share"] == pytest.approx(share.mean(), abs=1e-6)
    assert row["ratio"] == pytest.approx((share / area).mean(), abs=1e-6)
    assert row["interference"] == pytest.approx(((1 - share) / (1 - area)).mean(), abs=1e-6)
    chance = found.loc["gradcam", "last"]
    assert chance[["ratio", "ratio_low", "ratio_high", "interference"]].tolist() == [1] * 4
    assert chance["pointing"] == pytest.approx(area.mean(), abs=1e-6)
    for layer in ("first", "last"):
        row = found.loc["naflow", layer]
        assert row[["share", "interference", "pointing"]].tolist() == [1, 0, 1]
        assert row[["cases", "pictures", "undefined"]].tolist() == [5, 5, 0]
        assert row["ratio_low"] < row["ratio"] < row["ratio_high"]

    short = json.loads((folder.parents[1] / "figures" / "evaluation.json").read_text())["resnet18"]
    assert short["gradcam"]["last"] == 1
    assert short["naflow"]["layers"] == pytest.approx((1 / area).mean(), abs=1e-5)

    less = table(folder, "paired").set_index(["less", "layer"]).loc["gradcam"]
    expected = 1 - share
    assert less.loc["first", "share"] == pytest.approx(expected.mean(), abs=1e-6)
    low, high = less.loc["first", ["share_low", "share_high"]]
    assert expected.min() <= low < expected.mean() < high <= expected.max()


def test_paired_differences_are_of_the_same_cases(cfg, scene):
    """Here the better map of each picture is ours by a constant: the difference has no spread."""
    values = torch.linspace(1, 5, 5)[:, None, None]
    theirs = torch.ones(5, SIZE, SIZE)
    put(cfg, "naflow", {"only": theirs + values}, cases_of(scene))
    put(cfg, "hirescam", {"only": theirs[1:].flip(0)}, cases_of(scene)[1:][::-1])
    less = table(evaluate(cfg), "paired").iloc[0]
    assert (less["less"], less["cases"]) == ("hirescam", 4)
    assert less[["ratio", "ratio_low", "ratio_high"]].tolist() == [0, 0, 0]


def test_empty_maps_are_counted_and_left_out(cfg, scene):
    some = scene.masks.float()
    some[0] = 0
    put(cfg, "naflow", {"some": some, "none": 0 * some}, cases_of(scene))
    put(cfg, "gradcam", {"some": scene.masks.float(), "none": 1 + some}, cases_of(scene))
    folder = evaluate(cfg)
    found = table(folder).set_index(["method", "layer"]).loc["naflow"]
    assert found["undefined"].tolist() == [1, 5]
    assert found.loc["some", "share"] == 1
    assert np.isnan(found.loc["none", ["share", "share_low", "ratio"]].astype(float)).all()
    assert table(folder, "paired").set_index("layer")["undefined"].tolist() == [1, 5]
    short = json.loads((folder.parents[1] / "figures" / "evaluation.json").read_text())
    assert short["resnet18"]["naflow"]["last"] is None


def test_pictures_not_cases_are_resampled(cfg, scene):
    """A picture explained three times counts once, with its mean."""
    inside, outside = scene.masks[:2].float(), (~scene.masks[:2]).float()
    shown = torch.stack([inside[0], inside[0], outside[0], outside[1]])
    ids = [scene.ids[0]] * 3 + [scene.ids[1]]
    put(cfg, "naflow", {"only": shown}, [Case(p, r) for p, r in zip(ids, "abcd", strict=True)])
    row = table(evaluate(cfg)).iloc[0]
    assert row[["cases", "pictures"]].tolist() == [4, 2]
    assert row["share"] == pytest.approx((2 / 3 + 0) / 2, abs=1e-6)
    assert row[["share_low", "share_high"]].tolist() == pytest.approx([0, 2 / 3], abs=1e-6)


def test_a_box_stands_in_for_a_mask(cfg, scene, scenes):
    index = pd.read_csv(scenes / "index.csv", dtype=str)
    index["mask"] = ""
    for name, value in {"x0": 0, "y0": 0, "x1": 16, "y1": 8}.items():  # of 32 pixels
        index[name] = str(value)
    index.to_csv(scenes / "boxes.csv", index=False)
    cfg.images.index = "boxes.csv"
    cfg.images.columns.box = ["x0", "y0", "x1", "y1"]
    half = torch.zeros(5, SIZE, SIZE)
    half[:, :, :8] = 1
    put(cfg, "naflow", {"only": half}, cases_of(scene))
    row = table(evaluate(cfg)).iloc[0]
    assert row["share"] == pytest.approx(4 * 8 / (16 * 8))
    assert row["ratio"] == pytest.approx(0.25 / (4 * 8 / 256))


def test_signed_maps_are_measured_by_their_positive_part(cfg, scene):
    put(cfg, "naflow", {"only": scene.masks.float() - 0.5}, cases_of(scene))
    assert table(evaluate(cfg)).loc[0, "share"] == 1


def test_models_without_objects_are_left_out_and_told(cfg, scene, scenes, caplog):
    put(cfg, "naflow", {"only": torch.ones(5, 2, 2)}, cases_of(scene), model="seen")
    index = pd.read_csv(scenes / "index.csv", dtype=str)
    index.assign(mask="").to_csv(scenes / "plain.csv", index=False)
    cfg.images.index, cfg.images.columns.box = "plain.csv", []
    put(cfg, "naflow", {"only": torch.ones(5, 2, 2)}, cases_of(scene), model="blank")
    with caplog.at_level(logging.WARNING):
        folder = evaluate(cfg)
    assert "blank/naflow: no picture shows an object" in caplog.text
    assert table(folder)["model"].tolist() == ["seen"]


def test_maps_of_another_profile_are_left_out_and_told(cfg, scene, tmp_path, caplog):
    path = tmp_path / "params.yaml"
    path.write_text("verified: {resnet18: {images: shapes}, resnet50: {images: imagenet}}\n")
    for model in ("resnet18", "resnet50"):
        put(cfg, "naflow", {"only": scene.masks.float()}, cases_of(scene), model)
    assert set(table(evaluate(cfg)).model) == {"resnet18", "resnet50"}
    cfg.knobs = str(path)
    assert set(table(evaluate(cfg)).model) == {"resnet18"}
    assert "resnet50/naflow: maps of another profile; left out." in caplog.text


def test_the_same_bytes_again(cfg, scene):
    put(cfg, "naflow", {"a": torch.rand(5, 3, 3)}, cases_of(scene))
    put(cfg, "gradcam", {"a": torch.rand(5, 3, 3)}, cases_of(scene))
    first, second = (written(evaluate(cfg)) for _ in range(2))
    figure = {f"localisation.{ending}" for ending in ("png", "pdf", "json")}
    assert set(first) == {"localisation.csv", "paired.csv", "evaluation.json"} | figure
    assert first == second


def test_nothing_to_evaluate_is_said(cfg, scene):
    with pytest.raises(BadInput, match="holds no finished maps"):
        evaluate(cfg)
    put(cfg, "gradcam", {"a": torch.rand(5, 3, 3)}, cases_of(scene))
    with pytest.raises(BadInput, match="method=naflow: there are no maps of it"):
        evaluate(cfg)
