"""Stage `report`: one page with every attention flow, which any browser opens from disk.

    python -m pipeline.report results=results drawings=figures

Reads all finished maps, the selections, the figures' captions and claims, and what `evaluate` found
of every model; writes index.html, a single file that refers to no other. It shows the pictures that
the figures do; with report.all=true, or where nothing was selected, all that were explained.
"""

import json
import math
from pathlib import Path

from omegaconf import DictConfig

from naflow.errors import BadInput
from pipeline.app import stage
from pipeline.atomic import replacing
from pipeline.explanations import maps
from pipeline.explanations.maps import Maps
from pipeline.judging import selection
from pipeline.judging.selection import Selection
from pipeline.report_page import content, html


@stage
def main(cfg: DictConfig) -> None:
    """Write the page."""
    report(cfg)


def report(cfg: DictConfig) -> Path:
    """Write drawings/index.html; returns its path. Raises BadInput where there are no maps."""
    results, drawings = Path(cfg.results), Path(cfg.drawings)
    selections = {} if cfg.report.all else selected(results / "selected")
    evaluation = drawings / "evaluation.json"
    evaluated = read(evaluation) if evaluation.is_file() else {}
    page = html(content.of(finished(results / "maps"), selections, drawn(drawings), evaluated))
    path = drawings / "index.html"
    with replacing(path) as partial:
        partial.write_text(page, encoding="utf-8", newline="\n")
    return path


def finished(root: Path) -> dict[str, dict[str, Maps]]:
    """The maps of every complete folder, model -> method -> maps. Raises BadInput for none."""
    found: dict[str, dict[str, Maps]] = {}
    for manifest in sorted(root.glob("*/*/manifest.json")):
        folder = manifest.parent
        found.setdefault(folder.parent.name, {})[folder.name] = maps.load(folder)
    if not found:
        raise BadInput(
            f"{root} holds no finished maps (model/method/manifest.json), so there is nothing to "
            "report. Make them (python -m pipeline.explain, or dvc repro), or name their folder: "
            "results=..."
        )
    return found


def selected(root: Path) -> dict[str, Selection]:
    """The selections, figure -> what it shows."""
    return {path.stem: selection.read(path) for path in sorted(root.glob("*/fig*.json"))}


def drawn(root: Path) -> dict[str, dict]:
    """The figures in words, figure -> its JSON file; NaN and infinity become None.

    Raises BadInput for a file that is no JSON.
    """
    return {path.stem: read(path) for path in sorted(root.glob("fig*.json"))}


def read(path: Path) -> dict:
    """A JSON file that a figure left. Raises BadInput where it is none."""
    try:
        content = json.loads(
            path.read_text(encoding="utf-8"), parse_constant=lambda _: None, parse_float=finite
        )
        if not isinstance(content, dict):
            raise ValueError("it is no JSON object")
    except (ValueError, RecursionError) as error:
        again = "evaluate" if path.stem == "evaluation" else f"figure figure={path.stem}"
        raise BadInput(
            f"{path} cannot be read ({error}). Make it again: python -m pipeline.{again}."
        ) from None
    return content


def finite(word: str) -> float | None:
    """The number; None where it is too large to be one."""
    value = float(word)
    return value if math.isfinite(value) else None


if __name__ == "__main__":
    main()
