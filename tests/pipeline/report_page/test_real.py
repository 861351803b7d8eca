"""The page opens on the cat of stage `flow`, where that was drawn."""

import json

import numpy as np
import pytest
from made_report import made_report
from omegaconf import OmegaConf

from naflow.errors import BadInput
from naflow.explainers import GradCAM
from pipeline import flow as stage
from pipeline import report
from pipeline.report_page.real import real

pytest.importorskip("skimage", reason="scikit-image brings the photographs")

MAPS = {"naflow": np.eye(4, dtype=np.float32), "gradcam": np.ones((4, 4), np.float32)}
SAID = {"model": "efficientnet_lite0", "weights_sha256": "0" * 64, "picture": "cat"}
SAID |= {"predicted": "Egyptian cat", "confidence": 0.398}


def made(folder):
    """The files of stage `flow`, made up: a cat at two blocks, and another question."""
    folder.mkdir(exist_ok=True)
    (folder / "flow.json").write_text(json.dumps(SAID))
    arrays = {
        f"{picture}/{asked}/{method}/{layer}": values
        for picture, asked in (("cat", "predicted"), ("cat and coffee", "espresso"))
        for method, values in MAPS.items()
        for layer in ("stem", "head")
    }
    np.savez_compressed(folder / "flow.npz", **arrays)


@pytest.fixture
def page(images, tmp_path):
    """A small report that finds the flow beside it; its path."""
    path, _ = made_report(tmp_path, images)
    made(path.parent)
    places = {"results": tmp_path / "results", "drawings": path.parent, "knobs": None}
    settings = {key: value and str(value) for key, value in places.items()}
    return report.report(OmegaConf.create(settings | {"report": {"all": False}}))


def content(page):
    text = page.read_text()
    start = text.index('id="content">') + len('id="content">')
    return json.loads(text[start : text.index("</script>", start)])


def test_it_is_the_first_figure(page):
    found = content(page)
    first = found["figures"][0]
    assert first["name"] == "flow"
    assert first["cases"] == {"efficientnet_lite0": [["cat", ""]]}
    assert "'Egyptian cat'" in first["caption"] and "Stéfan van der Walt (CC0)" in first["caption"]
    assert [one["name"] for one in found["figures"][1:]] == ["fig04", "fig05", "fig10"]
    model = found["models"][-1]
    assert model["layers"] == ["stem", "head"]
    assert [(one["key"], one["name"]) for one in model["methods"]] == [
        ("gradcam", "Grad-CAM"),
        ("naflow", "NAFlow (selective)"),
    ]


def test_the_browser_opens_on_it(page, browser):
    troubles = []
    opened = browser.new_page()
    opened.on("pageerror", lambda error: troubles.append(str(error)))
    opened.goto(page.as_uri())
    opened.get_by_role("status").filter(has_text="layer 2 of 2, head, 4 × 4").wait_for()
    assert opened.get_by_text("predicted Egyptian cat, confidence 39.8 %").is_visible()
    assert opened.locator("#picture").evaluate("one => one.selectedOptions[0].text") == "cat"
    assert opened.locator("img").get_attribute("alt") == "Photograph cat"
    assert "seed" not in opened.locator("#made").inner_text()
    assert not opened.locator("#solved").is_visible()
    opened.get_by_role("combobox", name="Figure").select_option("fig04")
    opened.get_by_text("class disc; predicted").wait_for()
    assert troubles == []


def test_without_the_files_there_is_none(tmp_path):
    assert real(tmp_path) is None


@pytest.mark.parametrize("name", ["flow.json", "flow.npz"])
@pytest.mark.parametrize("damage", [b"", b"{}", b"PK\x03\x04 nonsense"])
def test_damaged_files_are_named(tmp_path, name, damage):
    made(tmp_path)
    (tmp_path / name).write_bytes(damage)
    with pytest.raises(BadInput, match=r"flow\.json cannot be read .*python -m pipeline\.flow"):
        real(tmp_path)


def test_maps_that_unpack_to_more_are_not_unpacked(tmp_path):
    made(tmp_path)
    np.savez_compressed(tmp_path / "flow.npz", **{"cat/predicted/naflow/stem": np.zeros(1 << 24)})
    with pytest.raises(BadInput, match="its arrays take more than 67,108,864 bytes"):
        real(tmp_path)


def test_maps_that_are_none_are_named(tmp_path):
    made(tmp_path)
    for arrays, sentence in (
        ({"cat and coffee/espresso/naflow/stem": np.eye(2)}, "there is no map of cat"),
        ({"cat/predicted/naflow/stem": np.full((2, 2), np.nan)}, "stem is no map"),
        ({"cat/predicted/naflow/stem": np.full((2, 2), "a")}, "stem is no map"),
        ({"cat/predicted/naflow/stem": np.zeros((0, 2))}, "stem is no map"),
        ({"cat/predicted/else/stem": np.eye(2)}, "stem is no map"),
        ({f"cat/predicted/{k}": np.eye(2) for k in ("naflow/a", "lrp/b")}, "other layers"),
    ):
        np.savez(tmp_path / "flow.npz", **arrays)
        with pytest.raises(BadInput, match=sentence):
            real(tmp_path)
    (tmp_path / "flow.json").write_text(json.dumps(SAID | {"picture": "../dog"}))
    with pytest.raises(BadInput, match=r"there is no photograph '\.\./dog'"):
        real(tmp_path)


def test_what_the_stage_writes_is_read(config, tmp_path, monkeypatch):
    monkeypatch.setattr("naflow.cli.demo.METHODS", {"gradcam": GradCAM})
    path = stage.flow(config(f"drawings={tmp_path / 'drawn'}"), tmp_path / "w.safetensors")
    found = real(path.parent)
    assert found["predicted"] == "Egyptian cat"
    assert found["confidence"] == pytest.approx(0.398, abs=0.02)
    assert list(found["maps"]) == ["gradcam"]
    assert len(found["maps"]["gradcam"]) == 9
