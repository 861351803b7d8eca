"""Do the recipes for birds learn? Each, for a part of its length, on a part of the birds.

    python -m bench.recipes PHOTOS --only subset=cub20 --start resnet50.safetensors

PHOTOS holds index.csv, with the columns image and class. The first six tenths of the classes are
learned, in bfloat16 and in float32; the others judge, before and after. Writes docs/recipes.md.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pandas as pd
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, open_dict

from pipeline.app import CONF
from pipeline.atomic import read_json
from pipeline.learning.objectives import objective
from pipeline.markdown import table
from pipeline.models import weights
from pipeline.train import begun, train
from pipeline.verify import verify

#: Recipe -> model, and for each of its steps what replaces its epochs, steps an epoch, and pixels.
RECIPES: dict[str, tuple[str, dict[str, dict[str, int]]]] = {
    "cub/conv4net": (
        "conv4net",
        {"classification": {"epochs": 25}, "episodes": {"epochs": 1, "steps": 40}},
    ),
    "cub/conv64f": (
        "conv64f",
        {"classification": {"epochs": 25}, "episodes": {"epochs": 1, "steps": 40}},
    ),
    "cub_retrieval/resnet50_ms": (
        "resnet50_ms",
        {"retrieval": {"epochs": 6, "steps": 8, "size": 112, "pixels": 128}},
    ),
}
PRECISIONS = ("bfloat16", "float32")
LEARNED = 0.6  # of the classes
PAGE = Path("docs/recipes.md")
ABOUT = """\
# Do the recipes for birds learn?

Made by `python -m bench.recipes`. The three networks that no one published learn from
{learned} classes of birds ({pictures} pictures), each by its recipe (`conf/recipe/cub`,
`conf/recipe/cub_retrieval`) for a part of its length; {novel} other classes judge them, before and
after. A real run has 100 classes and takes many times as long: this only shows whether the loss
falls, what birds never seen gain from it, and what bfloat16 changes. `resnet50_ms` started from
`{start}`.

"""


@dataclass(frozen=True)
class Learned:
    """losses  step -> the mean loss of each epoch; before and after: what `verify` measures"""

    losses: dict[str, list[float]]
    before: dict[str, float]
    after: dict[str, float]
    seconds: float


def main() -> None:
    """Run every recipe in both precisions; print a line for each, and write the page."""
    options = told()
    torch.set_num_threads(options.threads)
    birds = pd.read_csv(options.photos / "index.csv", dtype=str)
    for column, value in options.only:
        birds = birds[birds[column] == value]
    classes = sorted(birds["class"].unique())
    base = classes[: math.ceil(LEARNED * len(classes))]
    rows = []
    for precision in PRECISIONS:
        for recipe in options.recipes:
            found = learned(recipe, precision, options, classes[len(base) :])
            rows.append(row(recipe, precision, found))
            print(" | ".join(rows[-1]), flush=True)
    heads = ["recipe", "precision", "loss by epoch", "novel before", "novel after", "minutes"]
    if set(options.recipes) == set(RECIPES):
        about = ABOUT.format(
            learned=len(base),
            pictures=birds["class"].isin(base).sum(),
            novel=len(classes) - len(base),
            start="/".join(Path(options.start).parts[-2:]),
        )
        PAGE.write_text(about + table(heads, sorted(rows)), encoding="utf-8")


def learned(recipe: str, precision: str, options: argparse.Namespace, novel: list[str]) -> Learned:
    """Train by the recipe in a folder of its own, and judge the network before and after."""
    with tempfile.TemporaryDirectory() as folder:
        cfg = composed(recipe, options, novel, Path(folder))
        place = Path(cfg.model.weights)
        place.parent.mkdir(parents=True, exist_ok=True)
        weights.save(place, cfg.model.name, begun(cfg, []), None)
        before = verify(cfg)
        start = time.monotonic()
        with patch.object(objective, "autocast", partial(autocast, precision)):
            train(cfg)
        seconds = time.monotonic() - start
        losses = read_json(place.with_suffix(".losses.json"))
        return Learned(losses, before, verify(cfg), seconds)


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """Compute in this precision, whatever the hardware prefers."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def composed(
    recipe: str, options: argparse.Namespace, novel: list[str], folder: Path
) -> DictConfig:
    """Return the configuration of a short run on these pictures, without a gate."""
    model, shorter = RECIPES[recipe]
    overrides = [f"model={model}", "images=folder", f"recipe={recipe}", "quiet=true"]
    overrides += [f"{key}={value}" for key, value in options.settings]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config", overrides=overrides)
    with open_dict(cfg):
        cfg.images.update({"name": "birds", "root": str(options.photos), "index": "index.csv"})
        cfg.images.select = dict(options.only)
        cfg.images.groups = {"novel": novel}
        cfg.model.weights = str(folder / f"{model}.safetensors")
        cfg.results = str(folder)
        cfg.recipe.gate = {}
        if "episodes" in cfg.recipe.verify:
            cfg.recipe.verify.episodes = 1000
        if cfg.recipe.start is not None:
            cfg.recipe.start.weights = options.start
        for name, changes in shorter.items():
            _shorten(cfg.recipe.steps[name], **changes)
    return cfg


def _shorten(step: Any, epochs: int, **changes: int) -> None:
    phase = step.schedule.phases[0]
    phase.epochs = epochs
    phase.size = changes.get("size", phase.size)
    step.pixels = changes.get("pixels", step.pixels)
    if "steps" in changes:
        step.objective.steps = changes["steps"]


def row(recipe: str, precision: str, found: Learned) -> tuple[str, ...]:
    """Return the cells of a run."""
    steps = [
        f"{name} {', '.join(f'{loss:.3g}' for loss in some(losses))} (of {len(losses)})"
        for name, losses in found.losses.items()
    ]
    cells = (number(found.before), number(found.after), f"{found.seconds / 60:.1f}")
    return (f"`{recipe}`", precision, "; ".join(steps), *cells)


def some(losses: list[float]) -> list[float]:
    """Return the first and the last loss, and three between them."""
    places = {round(k * (len(losses) - 1) / 4) for k in range(5)}
    return [losses[place] for place in sorted(places)]


def number(found: dict[str, float]) -> str:
    """Return few-shot accuracy or recall at 1, in percent, with its 95 % interval."""
    if "accuracy" in found:
        return f"5-way {found['accuracy']:.1%} ± {found['interval']:.1%} (chance 20 %)"
    share, count = found["recall1"], found["pictures"]
    return f"recall@1 {share:.1%} ± {1.96 * math.sqrt(share * (1 - share) / count):.1%}"


def _pair(word: str) -> tuple[str, str]:
    name, _, value = word.partition("=")
    return name, value


def told(words: list[str] | None = None) -> argparse.Namespace:
    """Return the options of the command line, or of `words`."""
    parser = argparse.ArgumentParser(description="Do the recipes for birds learn?")
    add = parser.add_argument
    add("photos", type=Path)
    add("--only", nargs="*", type=_pair, default=[], help="column=value: rows of the index")
    add("--start", required=True, help="weights of ResNet-50 that resnet50_ms starts from")
    add("--recipes", nargs="+", default=list(RECIPES), choices=list(RECIPES))
    add(
        "--settings", nargs="*", type=_pair, default=[], help="other settings, as of pipeline.train"
    )
    add("--threads", type=int, default=2)
    return parser.parse_args(words)


if __name__ == "__main__":
    main()
