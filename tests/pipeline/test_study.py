"""The stage on made-up measures: tables, who is ahead, figures, and what is missing."""

import json

import numpy as np
import pandas as pd
import pytest

from naflow.errors import BadInput
from pipeline.study import of_places, study


@pytest.fixture
def cfg(config, tmp_path):
    return lambda *more: config("study.resamples=200", f"drawings={tmp_path}/study", *more)


def put(cfg, model, method, level):
    """Measures of 30 pictures at six layers, around `level`."""
    chance = np.random.default_rng(0)
    noise = chance.normal(0, 0.1, (30, 6))
    rows = [
        {
            "picture": f"p{picture}",
            "reference": "",
            "layer": f"l{layer}",
            "depth": (layer + 1) / 6,
            "area": 0.3,
            "share": 0.3 * level,
            "ratio": level + noise[picture, layer],
            "gain": 0.1 + chance.normal(0, 0.1),
            "own": np.nan if model == "embedding" else 0.5,
        }
        for picture in range(30)
        for layer in range(6)
    ]
    folder = f"{cfg.results}/measured/{model}"
    pd.DataFrame(rows).to_csv(f"{folder}/{method}.csv", index=False)
    flows = {"picture": ["p0", "p1"], "smoothness": [0.4, 0.6]}
    flows |= {"stabilisation": [0.5, 0.5], "drift": [0.1, 0.3]}
    pd.DataFrame(flows).to_csv(f"{folder}/{method}.flow.csv", index=False)
    with open(f"{folder}/{method}.json", "w") as file:
        json.dump({}, file)


@pytest.fixture
def measured(cfg, tmp_path):
    settings = cfg()
    for model in ("resnet18", "embedding"):
        (tmp_path / "results" / "measured" / model).mkdir(parents=True)
        for method, level in (("naflow", 1.5), ("gradcam", 1.2), ("random", 1.9)):
            put(settings, model, method, level)
    return settings


def test_tables_and_tally(measured):
    place = study(measured)
    means = pd.read_csv(place / "means.csv").set_index(["model", "method", "measure", "third"])
    one = means.loc[("resnet18", "naflow", "ratio", "middle")]
    assert one["low"] < one["mean"] < one["high"] and one["mean"] == pytest.approx(1.5, abs=0.05)
    leads = pd.read_csv(place / "leads.csv").set_index(["model", "less", "measure", "third"])
    ahead = leads.loc[("resnet18", "gradcam", "ratio", "deep")]
    assert ahead["lead"] == pytest.approx(0.3, abs=1e-6) and ahead["p"] <= ahead["holm"] < 0.05
    tally = json.loads((place / "study.json").read_text())
    assert tally["gradcam"]["ratio"]["deep"] == {"ahead": 2, "alike": 0, "behind": 0}
    assert tally["random"]["ratio"]["shallow"] == {"ahead": 0, "alike": 0, "behind": 2}
    assert tally["random"]["gain"]["middle"]["alike"] == 2
    assert tally["random"]["own"]["deep"] == {"ahead": 0, "alike": 1, "behind": 0}
    flows = pd.read_csv(place / "flows.csv").set_index(["model", "method"])
    assert flows.loc[("resnet18", "naflow"), "drift"] == pytest.approx(0.2)


def test_kinds_of_layers():
    layers = ["conv1", "relu", "layer1.0", "layer1.1", "layer1.0.add", "1#2"]
    table = pd.DataFrame({"layer": layers, "ratio": range(6), "gain": 0.5, "own": np.nan})
    found = of_places(table).set_index("place")
    assert found["layers"].to_dict() == {"add": 1, "block": 3, "conv": 1, "relu": 1}
    assert found.loc["block", "ratio"] == pytest.approx((2 + 3 + 5) / 3)


def test_some_models(cfg, measured):
    place = study(cfg("study.models=[resnet18]"))
    assert set(pd.read_csv(place / "means.csv")["model"]) == {"resnet18"}


def test_in_short(measured):
    text = (study(measured) / "summary.md").read_text()
    assert text.count("## ") == 3
    first, *others = [line for line in text.splitlines() if line.startswith("| `")]
    assert first.startswith("| `naflow` | 1.5") and first.endswith("|  |  |  |")
    gradcam = next(line for line in others if "gradcam" in line)
    assert gradcam.endswith("| 2 / 0 / 0 | 2 / 0 / 0 | 2 / 0 / 0 |")


def test_the_page_of_what_was_measured(cfg, measured):
    place = study(measured)
    page = place.with_suffix(".md").read_text()
    assert page.count("\n## ") == 2 and "Localisation (ratio): `naflow` is at every" in page
    assert "share on the object |" not in page and "last layer" not in page  # not asked here
    place.with_suffix(".md").unlink()
    study(cfg("study.page=false"))
    assert not place.with_suffix(".md").exists()


def test_figures_are_the_same_bytes_twice(measured):
    place = study(measured)
    drawn = {path.name: path.read_bytes() for path in place.iterdir()}
    assert {"ratio.png", "gain.png", "own.png", "ratio.pdf"} <= set(drawn)
    study(measured)
    assert {path.name: path.read_bytes() for path in place.iterdir()} == drawn


def test_what_was_not_measured_is_said(cfg, measured):
    with pytest.raises(BadInput, match=r"study.method=naflaw was not measured.*naflow"):
        study(cfg("study.method=naflaw"))
    with pytest.raises(BadInput, match=r"names resnet81, which was not measured.*resnet18"):
        study(cfg("study.models=[resnet81]"))
    with pytest.raises(BadInput, match=r"holds no measures.*pipeline.measure"):
        study(cfg("results=nowhere"))
