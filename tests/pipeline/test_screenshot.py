"""The screenshot in the documentation is taken by a command."""

import shutil

import pytest
from made_report import made_report
from omegaconf import OmegaConf
from PIL import Image

from naflow.errors import BadInput
from pipeline import screenshot as stage

IMAGES = {
    "_target_": "pipeline.pictures.images.Folder",
    "name": "shapes",
    "index": "index.csv",
    "columns": {"group": "class_split"},
}


@pytest.fixture
def cfg(scenes, tmp_path):
    """A small report in a browser of 400 by 300 pixels."""
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not any(map(shutil.which, stage.BROWSERS)):
        pytest.skip("there is no Chromium here")
    page, _ = made_report(tmp_path, IMAGES | {"root": str(scenes)})
    asked = {"file": str(tmp_path / "report.png"), "view": "", "width": 400, "height": 300}
    return OmegaConf.create({"drawings": str(page.parent), "screenshot": asked})


def test_it_is_the_page_and_another_view_is_another_picture(cfg):
    first = stage.screenshot(cfg)
    with Image.open(first) as taken:
        assert taken.size == (400, 300)
        assert len(taken.convert("RGB").getcolors(1 << 17) or []) > 20
    before = first.read_bytes()
    assert stage.screenshot(cfg).read_bytes() == before
    cfg.screenshot.view = "figure=fig10"
    assert stage.screenshot(cfg).read_bytes() != before


def test_a_view_that_the_page_does_not_have(cfg):
    cfg.screenshot.view = "figure=fig99"
    with pytest.raises(BadInput, match="This report has no figure “fig99”"):
        stage.screenshot(cfg)


def test_no_page(config, tmp_path):
    with pytest.raises(BadInput, match=r"index\.html is missing. Make it: python -m pipeline"):
        stage.screenshot(config())


def test_no_browser(cfg, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(BadInput, match="There is no browser: install one of chromium"):
        stage.screenshot(cfg)
