"""Stage `report`: one page with every attention flow, which any browser opens from disk.

    python -m pipeline.report results=results drawings=figures

Reads all finished maps, the selections, the captions and claims of the figures, and the results of
`evaluate`; writes index.html, a single file that refers to no other. The page shows the pictures of
the figures; with report.all=true, or without selections, all explained pictures. If the folder
holds the output of stage `flow`, the page begins with that.

Under a profile (knobs=params.yaml) maps and figures of other pictures are left out, and the page
lists the figures that were not drawn, with the networks that are missing.
"""

import json
import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path

from omegaconf import DictConfig

from naflow.errors import BadInput
from naflow.page import html
from pipeline import profile
from pipeline.app import stage
from pipeline.atomic import replacing
from pipeline.explanations import maps
from pipeline.explanations.maps import Maps
from pipeline.judging import selection
from pipeline.judging.selection import Selection
from pipeline.report_page import content
from pipeline.report_page.real import real

log = logging.getLogger(__name__)


@stage
def main(cfg: DictConfig) -> None:
    """Write the page."""
    report(cfg)


def report(cfg: DictConfig) -> Path:
    """Write drawings/index.html; return its path. Raises BadInput if there are no maps."""
    results, drawings = Path(cfg.results), Path(cfg.drawings)
    wanted = profile.shown(cfg.knobs) if cfg.knobs else None
    found = finished(results / "maps", wanted)
    told = drawn(drawings)
    absent = {} if wanted is None else undrawn(cfg, found, told)
    absent |= {name: one["absent"] for name, one in told.items() if one.get("absent")}
    for name, why in absent.items():
        log.warning("%s was not drawn: %s", name, why)
    selections = {} if cfg.report.all else selected(results / "selected")
    evaluation = drawings / "evaluation.json"
    evaluated = read(evaluation, is_evaluation) if evaluation.is_file() else {}
    told = {name: one for name, one in told.items() if name not in absent}
    selections = {name: one for name, one in selections.items() if name not in absent}
    page = html(content.of(found, selections, told, evaluated, absent, real(drawings)))
    path = drawings / "index.html"
    with replacing(path) as partial:
        partial.write_text(page, encoding="utf-8", newline="\n")
    return path


def undrawn(
    cfg: DictConfig, found: Mapping[str, Mapping[str, Maps]], told: Mapping[str, dict]
) -> dict[str, str]:
    """Return the figures of conf/figures.yaml that were not drawn -> why."""
    absent = {}
    for name, entry in cfg.figures.items():
        models = dict.fromkeys((entry.model, entry.beside))
        missing = [one for one in models if not found.get(one, {}).keys() >= {*methods(cfg)}]
        if missing:
            absent[str(name)] = f"maps of {' and '.join(missing)} are missing."
        elif name not in told:
            absent[str(name)] = f"its stage did not end: dvc repro figure@{name} tells why."
    return absent


def methods(cfg: DictConfig) -> list[str]:
    """Return the methods that figures show."""
    return cfg.methods.split(",")


def finished(root: Path, wanted: Mapping[str, str] | None = None) -> dict[str, dict[str, Maps]]:
    """Return the maps of every complete folder, model -> method -> maps; with `wanted` (model ->
    image set) only those of this profile. Raises BadInput if there are none."""
    found: dict[str, dict[str, Maps]] = {}
    for manifest in sorted(root.glob("*/*/manifest.json")):
        folder = manifest.parent
        of_folder = maps.load(folder)
        if profile.current(of_folder.manifest, wanted):
            found.setdefault(folder.parent.name, {})[folder.name] = of_folder
    if not found:
        raise BadInput(
            f"{root} holds no finished maps (model/method/manifest.json), so there is nothing to "
            "report. Make them (python -m pipeline.explain, or dvc repro), or name their folder: "
            "results=..."
        )
    return found


def selected(root: Path) -> dict[str, Selection]:
    """Return the selections, figure -> the pictures that it shows."""
    return {path.stem: selection.read(path) for path in sorted(root.glob("*/fig*.json"))}


def drawn(root: Path) -> dict[str, dict]:
    """Return the texts of the figures, figure -> the content of its JSON file; NaN and infinity
    become None.

    Raises BadInput if a file is not as a stage writes it.
    """
    return {path.stem: read(path, is_figure) for path in sorted(root.glob("fig*.json"))}


def read(path: Path, sound: Callable[[dict], bool]) -> dict:
    """Return the content of a JSON file that a stage wrote. Raises BadInput if it is not a JSON
    object, or not `sound`."""
    try:
        content = json.loads(
            path.read_text(encoding="utf-8"), parse_constant=lambda _: None, parse_float=finite
        )
        if not isinstance(content, dict):
            raise ValueError("it is no JSON object")
        if not sound(content):
            raise ValueError("it is not as its stage writes it")
    except (ValueError, RecursionError) as error:
        again = "evaluate" if path.stem == "evaluation" else f"figure figure={path.stem}"
        raise BadInput(
            f"{path} cannot be read ({error}). Make it again: python -m pipeline.{again}."
        ) from None
    return content


def is_figure(content: dict) -> bool:
    """Return whether the page can show title, caption and claims."""

    def text(one: dict, *names: str) -> bool:
        return all(isinstance(one.get(name), str | None) for name in names)

    claims = content.get("claims", [])
    return (
        text(content, "title", "caption", "absent")
        and isinstance(claims, list)
        and all(isinstance(one, dict) and text(one, "claim", "told", "reading") for one in claims)
        and all(isinstance(one.get("holds"), bool | None) for one in claims)
    )


def is_evaluation(content: dict) -> bool:
    """Return whether it maps model -> method -> part of the depth -> number or None."""
    methods = [one for model in content.values() for one in _values(model)]
    numbers = [one for method in methods for one in _values(method)]
    return all(isinstance(one, int | float | None) for one in numbers)


def _values(inside: object) -> list:
    """Return the values of a JSON object; of anything else [its text], which is not a number."""
    return list(inside.values()) if isinstance(inside, dict) else [str(inside)]


def finite(word: str) -> float | None:
    """Return the number; None if it is not finite."""
    value = float(word)
    return value if math.isfinite(value) else None


if __name__ == "__main__":
    main()
