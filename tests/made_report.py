"""A small report: the page, and the maps it was made of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from made_maps import LAYERS, made
from omegaconf import OmegaConf

from pipeline import report as stage
from pipeline.explanations.cases import Case
from pipeline.judging import selection
from pipeline.judging.decisions import Decision
from pipeline.judging.selection import Chosen, Selection

HOSTILE = "<img src=x onerror=alert(1)>"
MANY = LAYERS | {f"tail.{number}": (2, 2) for number in range(9)}  # more than a small screen shows
CLASSES = [Case("disc_test_000"), Case("cross_test_000"), Case("disc_test_001")]
PAIR = Case("key_test_000", "key_test_001")
CLAIMS = [
    {"claim": "It looks at the disc.", "holds": True, "told": "share 0.5", "reading": "By area.",
     "numbers": {"disc_test_000": {"share": 0.5}}},
    {"claim": "It looks at nothing else.", "holds": False, "numbers": {}},
    {"claim": "It is as in print.", "holds": None, "numbers": {}},
]  # fmt: skip


def made_report(root: Path, images: Mapping) -> tuple[Path, dict[str, dict[str, np.ndarray]]]:
    """Write below `root` a classifier under two methods, a likeness and three figures, one of them
    of a model without maps. Returns the page and the arrays of the maps."""
    of = root / "results" / "maps"
    classes = [HOSTILE, "cross"]
    values = {
        "naflow": made(of / "resnet18" / "naflow", images, CLASSES, classes),
        "gradcam": made(of / "resnet18" / "gradcam", images, CLASSES, classes, seed=1),
        "pair": made(of / "conv64f" / "naflow", images, [PAIR, PAIR.turned], layers=MANY, seed=2),
    }
    for figure, model, cases, met in (
        ("fig04", "resnet18", CLASSES[:2], True),
        ("fig05", "resnet101", CLASSES[:1], True),
        ("fig10", "conv64f", [PAIR], False),
    ):
        chosen = tuple(
            Chosen(Decision(one.picture, one.picture, "disc", "disc", 0.5, one.reference), "right")
            for one in cases
        )
        path = root / "results" / "selected" / model / f"{figure}.json"
        selection.write(path, Selection(figure, model, "a rule", met, chosen, {"decided": 9}))
    (root / "figures").mkdir()
    about = {"title": "Two discs", "caption": "What was looked at.", "claims": CLAIMS}
    (root / "figures" / "fig04.json").write_text(json.dumps(about))
    ratios = {"resnet18": {"gradcam": {"first": 1.5, "middle": 1.26, "last": None, "layers": 1.4}}}
    (root / "figures" / "evaluation.json").write_text(json.dumps(ratios))
    places = {"results": str(root / "results"), "drawings": str(root / "figures")}
    path = stage.report(OmegaConf.create(places | {"knobs": None, "report": {"all": False}}))
    return path, values


def canvas_of(page, method: str, row: int = 0):
    """The large picture of a method; row 1 is the reference's."""
    return page.locator(".picture").nth(row).locator("figure", has_text=method).locator("canvas")
