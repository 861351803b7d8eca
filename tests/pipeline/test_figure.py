"""The stage: from files to files, the same bytes each time, helpful when something is missing."""

import json

import pytest
from omegaconf import OmegaConf
from torchvision.models import resnet18

from naflow.errors import BadInput
from naflow.methods import METHODS
from pipeline import explain
from pipeline import figure as stage
from pipeline.explanations import cases
from pipeline.explanations.cases import Case
from pipeline.judging import selection
from pipeline.judging.decisions import Decision
from pipeline.judging.selection import Chosen, Selection
from pipeline.models import weights

EXPLAINED = ("gradcam", "naflow_released", "naflow")


@pytest.fixture
def cfg(config, tmp_path):
    """A figure of one picture, whose maps three methods have made."""
    weights.save(
        tmp_path / "weights.safetensors", "resnet18", resnet18(num_classes=2), ["cross", "disc"]
    )
    cases.write(tmp_path / "cases.json", [Case("disc_test_001"), Case("disc_test_000")])
    for method in EXPLAINED:
        asked = config(f"method={method}", f"explain.cases={tmp_path}/cases.json")
        explain.explain(asked, method)
    decision = Decision("disc_test_000", "disc_test_000", "disc", "disc", 0.5)
    chosen = Selection("fig04", "resnet18", "the disc", True, (Chosen(decision, "right"),))
    path = tmp_path / "results" / "selected" / "resnet18" / "fig04.json"
    selection.write(path, chosen)

    def composed(*overrides):
        cfg = config(
            f"methods='{','.join(EXPLAINED)}'",
            "checked=[naflow_released,naflow]",
            "figure=fig04",
            *overrides,
        )
        OmegaConf.set_struct(cfg, False)
        entry = cfg.figures.fig04
        entry.draw.methods = list(EXPLAINED)
        entry.draw.layers = entry.claims[1].layers = ["relu", "layer1.0"]
        return cfg

    return composed


def test_picture_pdf_and_what_they_show(cfg, tmp_path):
    found = json.loads(stage.draw(cfg()).read_text())
    files = {path.name: path.read_bytes() for path in (tmp_path / "figures").iterdir()}
    assert sorted(files) == ["fig04.json", "fig04.pdf", "fig04.png"]
    assert found["figure"] == "fig04"
    assert "disc_test_000" in found["caption"]
    (picture,) = found["pictures"]
    assert (picture["picture"], picture["right"], picture["why"]) == (
        "disc_test_000",
        True,
        "right",
    )
    assert 0.5 <= picture["probability"] <= 1
    last, _, background, default = found["claims"]
    assert isinstance(last["holds"], bool)
    assert set(background["numbers"]["share"]) == set(EXPLAINED)
    assert {"claim", "reading", "told", "numbers"} <= set(last)
    assert "NAFlow (released)" in last["claim"]
    assert "NAFlow (released)" in background["claim"]
    assert "NAFlow (selective)" in default["claim"]
    assert found["methods"] == {name: METHODS[name].label for name in EXPLAINED}
    assert found["selection"] == {"rule": "the disc", "met": True, "counts": {}}
    assert found["layers"][0] == {"name": "relu", "size": [16, 16]}
    stage.draw(cfg())
    again = {path.name: path.read_bytes() for path in (tmp_path / "figures").iterdir()}
    assert again == files


def test_a_figure_that_is_not_there(cfg):
    with pytest.raises(BadInput, match=r"no such figure\. Did you mean"):
        stage.draw(cfg("figure=fig4"))


def test_nothing_was_selected(cfg, tmp_path):
    (tmp_path / "results" / "selected" / "resnet18" / "fig04.json").unlink()
    with pytest.raises(BadInput, match=r"Make it: python -m pipeline\.select"):
        stage.draw(cfg())


def test_no_picture_was_found(cfg, tmp_path):
    path = tmp_path / "results" / "selected" / "resnet18" / "fig04.json"
    selection.write(path, Selection("fig04", "resnet18", "the discs", False, (), {"right": 0}))
    with pytest.raises(BadInput, match=r"fig04 has no picture to show: the discs.*'right': 0"):
        stage.draw(cfg())


def test_a_method_was_not_explained(cfg):
    with pytest.raises(BadInput, match="layercam holds no finished maps"):
        stage.draw(cfg("methods='naflow,layercam'"))


def test_a_picture_was_not_explained(cfg, tmp_path):
    decision = Decision("cross_test_000", "cross_test_000", "cross", "cross", 0.5)
    chosen = Selection("fig04", "resnet18", "the cross", True, (Chosen(decision, "right"),))
    selection.write(tmp_path / "results" / "selected" / "resnet18" / "fig04.json", chosen)
    with pytest.raises(BadInput, match="no picture 'cross_test_000'"):
        stage.draw(cfg())
