"""docs/figures.md, written from what the figures' JSON files say.

    python -m pipeline.document drawings=figures

Reads the figures of conf/figures.yaml and evaluation.json in `drawings`, and writes `document`:
which figures there are, what is drawn, and what came of each claim of the paper's text, with its
numbers. Nothing in it is written by hand but the words around them.
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
from pipeline.report import read

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

[index.html]({to}/index.html) holds every flow of these figures in one file without a server: choose
figure, model, picture and methods, scrub through the layers with the slider or the arrow keys, read
raw values under the pointer or with shift and the arrows, and compare the solver's statistics. A
link keeps the view.

![The page: controls, the picture under every method, the layers with solve statistics](report.png)
"""
OUTCOMES = {True: "holds", False: "**does not hold**", None: "not checked"}


@stage
def main(cfg: DictConfig) -> None:
    """Write."""
    document(cfg)


def document(cfg: DictConfig) -> Path:
    """Write `cfg.document`; returns it. Raises BadInput where no figure has been drawn, and for a
    file that cannot be read."""
    text = page(cfg)
    with replacing(Path(cfg.document)) as partial:
        partial.write_text(text, encoding="utf-8")
    return Path(cfg.document)


def page(cfg: DictConfig) -> str:
    """What is to be written. Raises BadInput as `document`."""
    drawings = Path(cfg.drawings)
    files = {str(name): drawings / f"{name}.json" for name in cfg.figures}
    found = {name: read(path) for name, path in files.items() if path.exists()}
    if not found:
        raise BadInput(
            f"{drawings} holds no figure (fig01.json, ...). Draw them (make figures), or name "
            "their folder: drawings=figures."
        )
    evaluation = drawings / "evaluation.json"
    evaluated = read(evaluation) if evaluation.exists() else {}
    to = Path(os.path.relpath(drawings, Path(cfg.document).parent)).as_posix()
    return "\n".join(blocks(cfg, found, evaluated, to))


def blocks(
    cfg: DictConfig, found: Mapping[str, dict], evaluated: Mapping[str, dict], to: str
) -> Iterator[str]:
    """The page, block by block. to: the folder of the figures, as seen from the page."""
    names: dict[str, str] = {}  # method -> how its maps call it
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
    yield TAIL.format(to=to)


def figure(name: str, shows: str, drawn: Mapping[str, Any] | None, to: str) -> Iterator[str]:
    """One figure: its picture, what it shows of which pictures, and its claims."""
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
    """A row for each of these methods, by which a claim calls it: how many hold, do not, were not
    checked."""
    rows = []
    for method in methods:
        own = [one["holds"] for one in verdicts if method in one["claim"]]
        rows.append([method, *(str(own.count(outcome)) for outcome in OUTCOMES)])
    return rows


def readings(verdicts: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the claims were taken to mean, each reading once."""
    return list(dict.fromkeys(one["reading"] for one in verdicts))


def localisation(evaluated: Mapping[str, dict], names: Mapping[str, str]) -> str:
    """Means over all layers: a row a network, a column a method."""
    methods = ordered({method for of_model in evaluated.values() for method in of_model})
    rows = [
        [model, *(mean(of_model.get(method)) for method in methods)]
        for model, of_model in evaluated.items()
    ]
    return table(["network", *(names.get(one) or label(one) for one in methods)], rows)


def mean(ratio: Mapping[str, float | None] | None) -> str:
    """Two digits; nothing where every map is empty, or none was made."""
    value = ratio and ratio["layers"]
    return "" if value is None else f"{value:.2f}"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


if __name__ == "__main__":
    main()
