"""Stage `flow`: the demo's picture among the figures."""

import pytest
from safetensors import safe_open

from naflow.cli import demo
from naflow.explainers import GradCAM
from pipeline import flow as stage

pytest.importorskip("skimage", reason="scikit-image brings the photographs")


def test_it_draws_from_weights_that_became_safetensors_once(config, tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "METHODS", {"Grad-CAM": GradCAM})
    cfg = config(f"drawings={tmp_path / 'figures'}", "quiet=true")
    weights = tmp_path / "weights" / "w.safetensors"
    assert stage.flow(cfg, weights) == tmp_path / "figures" / "flow.png"
    with safe_open(weights, framework="pt") as file:
        assert "espresso" in file.metadata()["naflow"]
    written = weights.stat().st_mtime_ns
    first = (tmp_path / "figures" / "flow.png").read_bytes()
    stage.flow(cfg, weights)
    assert weights.stat().st_mtime_ns == written
    assert (tmp_path / "figures" / "flow.png").read_bytes() == first
