"""docs/figures.md says what the figures' files say, and is not written by hand."""

import json
from pathlib import Path

import pytest

from naflow.errors import BadInput
from pipeline.document import document, page

ROOT = Path(__file__).parents[2]
NAMES = {"gradcam": "Grad-CAM", "naflow_damped": "NAFlow (damped)", "naflow": "NAFlow (selective)"}


def claim(method, holds):
    sentence = f"The last map of {NAMES[method]} is Grad-CAM's."
    told = f"Largest difference of {method}"
    return {"claim": sentence, "holds": holds, "told": told, "reading": "By looking", "numbers": {}}


@pytest.fixture
def cfg(config, tmp_path):
    """Two figures: one drawn under three methods, one that makes no claim."""
    folder = tmp_path / "figures"
    folder.mkdir()
    drawn = {
        "methods": NAMES,
        "claims": [claim("naflow_damped", True), claim("naflow", False)],
        "pictures": [{"picture": "disc_test_000"}],
        "selection": {"rule": "the discs", "met": True, "counts": {"right": 7}},
    }
    (folder / "fig04.json").write_text(json.dumps(drawn))
    (folder / "fig12.json").write_text(json.dumps(drawn | {"claims": []}))
    ratio = {"gradcam": {"layers": 1.234}, "naflow": {"layers": None}}
    (folder / "evaluation.json").write_text(json.dumps({"resnet18": ratio}))
    return config(f"document={tmp_path}/docs/figures.md")


def test_every_figure_claim_and_number(cfg):
    text = document(cfg).read_text()
    assert "[fig04.png](../figures/fig04.png): ResNet18, three pictures" in text
    assert "`disc_test_000`. Found: the discs (7 right)." in text
    held = "| holds | The last map of NAFlow (damped) is Grad-CAM's. |"
    assert f"{held} Largest difference of naflow_damped |" in text
    assert "| **does not hold** | The last map of NAFlow (selective) is Grad-CAM's. |" in text
    assert "| NAFlow (damped) | 1 | 0 | 0 |" in text
    assert "| NAFlow (selective) | 0 | 1 | 0 |" in text
    assert "Rows of the figures of flows: Grad-CAM, NAFlow (damped), NAFlow (selective)." in text
    assert text.count("- By looking") == 1
    assert "| network | Grad-CAM | NAFlow (selective) |" in text
    assert "| resnet18 | 1.23 |  |" in text
    headings = [line for line in text.splitlines() if line.startswith("## Figure")]
    assert headings == [f"## Figure {number}" for number in (1, *range(3, 13))]
    assert "what they retrieve first. Pictures:" in text
    assert text.count("It was not drawn.") == 9


def test_nothing_was_drawn(config, tmp_path):
    with pytest.raises(BadInput, match=r"holds no figure.*make figures"):
        document(config(f"document={tmp_path}/figures.md"))


def test_the_page_in_docs_is_of_the_figures_that_lie_there(config, monkeypatch):
    monkeypatch.chdir(ROOT)
    cfg = config()
    cfg.drawings, cfg.document = "figures", "docs/figures.md"
    assert page(cfg) == Path(cfg.document).read_text(), (
        "Write it anew: python -m pipeline.document drawings=figures"
    )
