"""Write docs/figures.md from the figures' JSON files.

    python -m pipeline.document drawings=figures

Reads the JSON files of the figures of conf/figures.yaml, and evaluation.json, in `drawings`. Writes
`document`: the figures, what they show, and the outcome of each claim of the paper's text with its
numbers. Only the words around them are fixed.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from naflow.errors import BadInput
from naflow.methods import label, ordered
from pipeline.app import stage
from pipeline.atomic import replacing
from pipeline.markdown import table
from pipeline.report import is_evaluation, is_figure, read

HEAD = """# The figures, and what came of the text's claims

<!-- Written by `python -m pipeline.document drawings={drawings}`: an edit here is lost. -->

`make figures` draws all of them from nothing (profile `embedded`: scenes and networks made here;
the profile `paper` draws into `results/figures`); `dvc repro figure@fig08` one. Beside each picture
lie the same as PDF, and a JSON file: the caption, the pictures with what was decided for them, the
rule they were found by with its counts, and every claim with its numbers. This page is written from
those files: `python -m pipeline.document drawings={drawings}`.

The text we hold has no captions, so which layers a figure shows is our choice, and how a claim is
measured is our reading ([below](#how-the-claims-were-read); the code is in `pipeline/claims/`).
Where no masks are published, as for ImageNet, the object is its box, and the claims and rules say
so.

Rows of the figures of flows: {methods}. Every claim is checked for each NAFlow among them:
"""
LOCALISATION = """## Localisation over depth

[localisation.png]({to}/localisation.png) shows for every network how much of each method's maps
lies on the object, over depth, in multiples of chance, with bootstrap intervals;
`results/evaluation/` has the tables, with paired differences. Means over all layers:
"""
TAIL = """What to make of methods that differ so: [method-study.md](method-study.md).

## The page

[index.html]({to}/index.html) holds every flow of these figures in one file without a server, and
opens on that of a published network on a photograph: choose figure, model, picture and methods,
scrub through the layers with the slider or the arrow keys, read raw values under the pointer or
with shift and the arrows, and compare the solver's statistics. A link keeps the view.

![The page: what is shown, a picture under every method, and all its layers](report.png)

`python -m pipeline.screenshot drawings={drawings}` takes this picture of it.
"""
OUTCOMES = {True: "holds", False: "**does not hold**", None: "not checked"}


@stage
def main(cfg: DictConfig) -> None:
    """Write."""
    document(cfg)


def document(cfg: DictConfig) -> Path:
    """Write `cfg.document`; return its path. Raises BadInput if no figure has been drawn, and for a
    file that cannot be read."""
    text = page(cfg)
    with replacing(Path(cfg.document)) as partial:
        partial.write_text(text, encoding="utf-8")
    return Path(cfg.document)


def page(cfg: DictConfig) -> str:
    """Return the text of the page. Raises BadInput as `document` does."""
    drawings = Path(cfg.drawings)
    files = {str(name): drawings / f"{name}.json" for name in cfg.figures}
    found = {name: read(path, is_figure) for name, path in files.items() if path.exists()}
    if not found:
        raise BadInput(
            f"{drawings} holds no figure (fig01.json, ...). Draw them (make figures), or name "
            "their folder: drawings=figures."
        )
    evaluation = drawings / "evaluation.json"
    evaluated = read(evaluation, is_evaluation) if evaluation.exists() else {}
    to = Path(os.path.relpath(drawings, Path(cfg.document).parent)).as_posix()
    return "\n".join(blocks(cfg, found, evaluated, to))


def blocks(
    cfg: DictConfig, found: Mapping[str, dict], evaluated: Mapping[str, dict], to: str
) -> Iterator[str]:
    """Yield the page block by block. to: the folder of the figures, relative to the page."""
    names: dict[str, str] = {}  # method -> its name in the maps' manifests
    for drawn in found.values():
        names |= drawn.get("methods", {})
    verdicts = [claim for drawn in found.values() for claim in drawn["claims"]]
    checked = [names[method] for method in cfg.checked if method in names]
    shown = ", ".join(names[method] for method in ordered(names))
    yield HEAD.format(drawings=cfg.drawings, methods=shown)
    yield table(["", "claims that hold", "that do not", "not checked"], counted(verdicts, checked))
    for name, settings in cfg.figures.items():
        yield from figure(str(name), str(settings.shows), found.get(str(name)), to)
    yield "## How the claims were read\n"
    yield "\n".join(f"- {reading}" for reading in readings(verdicts)) + "\n"
    if evaluated:
        yield LOCALISATION.format(to=to)
        yield localisation(evaluated, names)
    yield TAIL.format(to=to, drawings=cfg.drawings)


def figure(name: str, shows: str, drawn: Mapping[str, Any] | None, to: str) -> Iterator[str]:
    """Yield the blocks of one figure: its picture, what it shows, and its claims."""
    yield f"## Figure {name.removeprefix('fig').lstrip('0')}\n"
    if drawn is None:
        yield f"{shows}. It was not drawn.\n"
        return
    chosen = drawn["selection"]
    counts = ", ".join(f"{number} {what}" for what, number in chosen["counts"].items())
    found = f"Found: {chosen['rule']}" + f" ({counts})" * bool(counts)
    pictures = ", ".join(f"`{one['picture']}`" for one in drawn["pictures"])
    yield f"[{name}.png]({to}/{name}.png): {shows}. Pictures: {pictures}. {found}.\n"
    rows = [[OUTCOMES[claim["holds"]], claim["claim"], claim["told"]] for claim in drawn["claims"]]
    if rows:
        yield table(["", "what the text says", "numbers"], rows)


def counted(verdicts: Sequence[Mapping[str, Any]], methods: Sequence[str]) -> list[list[str]]:
    """Return one row for each of these methods: how many claims hold, do not hold, and were not
    checked. methods: their names as in the claims."""
    rows = []
    for method in methods:
        own = [one["holds"] for one in verdicts if method in one["claim"]]
        rows.append([method, *(str(own.count(outcome)) for outcome in OUTCOMES)])
    return rows


def readings(verdicts: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return how the claims were read, without repetitions."""
    return list(dict.fromkeys(one["reading"] for one in verdicts))


def localisation(evaluated: Mapping[str, dict], names: Mapping[str, str]) -> str:
    """Return a table of means over all layers: one row per network, one column per method."""
    methods = ordered({method for of_model in evaluated.values() for method in of_model})
    rows = [
        [model, *(mean(of_model.get(method)) for method in methods)]
        for model, of_model in evaluated.items()
    ]
    return table(["network", *(names.get(one) or label(one) for one in methods)], rows)


def mean(ratio: Mapping[str, float | None] | None) -> str:
    """Return the mean with two digits; "" if every map is empty, or there are none."""
    value = ratio and ratio["layers"]
    return "" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    main()
