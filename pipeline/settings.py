"""What the settings that all stages share may be: wrong ones are refused before any work.

Other settings of a group (method, images, ...) are checked by what they are the settings of.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

from naflow.errors import BadInput


@dataclass(frozen=True)
class Kind:
    """What values are allowed, in words and as a test."""

    words: str
    allows: Callable[[Any], bool]

    def __or__(self, other: "Kind") -> "Kind":
        return Kind(f"{self.words} or {other.words}", lambda v: self.allows(v) or other.allows(v))


def whole(low: int, high: int | None = None) -> Kind:
    """A whole number from `low` to `high`."""
    words = f"a whole number of {low} or more" + f", up to {high}" * (high is not None)
    return Kind(
        words,
        lambda v: type(v) is int and v >= low and (high is None or v <= high),
    )


def between(low: float, high: float) -> Kind:
    """A number between two others, neither of them."""
    return Kind(
        f"a number between {low} and {high}", lambda v: type(v) in (int, float) and low < v < high
    )


def one_of(*names: str) -> Kind:
    """One of these words."""
    return Kind(f"{', '.join(names[:-1])} or {names[-1]}", lambda v: v in names)


NULL = Kind("null", lambda v: v is None)
FLAG = Kind("true or false", lambda v: isinstance(v, bool))
TEXT = Kind("text", lambda v: isinstance(v, str) and bool(v))
SHARE = Kind("a number from 0 to 1", lambda v: type(v) in (int, float) and 0 <= v <= 1)
MODE = one_of("offline", "online", "disabled")
FIT = one_of("crop", "centre", "stretch", "box")  # as pipeline.pictures.images has them
TASK = one_of("classification", "discrimination", "few_shot", "retrieval")
NAMES = Kind(
    "a list of names", lambda v: isinstance(v, list) and all(isinstance(one, str) for one in v)
)
THREE = Kind(
    "three numbers",
    lambda v: isinstance(v, list) and [type(one) in (int, float) for one in v] == [True] * 3,
)
PARTS = Kind("settings of its own, {name: value}", lambda v: isinstance(v, dict))
SETTINGS = {
    "seed": whole(0, 2**32 - 1),  # numpy's range
    "device": TEXT,
    "quiet": FLAG | NULL,
    "results": TEXT,
    "drawings": TEXT,
    "figure": TEXT,
    "figures": PARTS,
    "methods": TEXT,
    "checked": NAMES,
    "document": TEXT,
    "explain.pictures": whole(1) | NULL,
    "explain.known": whole(1) | NULL,
    "explain.cases": TEXT | NULL,
    "explain.batch": whole(1),
    "explain.shard": whole(0),
    "explain.shards": whole(1),
    "explain.shown": whole(0),
    "explain.part.group": TEXT | NULL,
    "explain.part.split": TEXT | NULL,
    "measure.name": TEXT | NULL,
    "measure.detail": FLAG,
    "measure.tolerance": SHARE,
    "measure.deep": whole(0),
    "measure.judged": whole(0) | NULL,
    "measure.steps": whole(1),
    "measure.layers": one_of("all", "blocks"),
    "measure.sanity": FLAG,
    "study.models": NAMES | NULL,
    "study.method": TEXT,
    "study.resamples": whole(1),
    "study.confidence": between(0, 1),
    "evaluate.method": TEXT,
    "evaluate.resamples": whole(1),
    "evaluate.confidence": between(0, 1),
    "evaluate.tolerance": SHARE,
    "report.all": FLAG,
    "tracking.mode": MODE,
    "tracking.project": TEXT,
    "tracking.folder": TEXT,
    "scenes.root": TEXT,
    "scenes.size": whole(16),
    "scenes.seed": whole(0),
    "scenes.classes": PARTS,
    "scenes.count": PARTS,
    "model.name": TEXT,
    "model.weights": TEXT,
    "model.labels": TEXT | NULL,
    "model.task": TASK,
    "model.input.size": whole(1),
    "model.input.fit": FIT,
    "model.input.mean": THREE,
    "model.input.std": THREE,
    "recipe.size": whole(1),
    "recipe.fit": FIT,
    "recipe.steps": PARTS,
    "recipe.learns": PARTS,
    "recipe.verify": PARTS,
    "recipe.start": PARTS | NULL,
}
GROUPS = ("model.", "recipe.")  # not every file of a group has every setting


def check(cfg: DictConfig) -> None:
    """Raise BadInput for the first setting of SETTINGS that is missing or not of its kind."""
    for path, kind in SETTINGS.items():
        inside: Any = cfg
        *above, last = path.split(".")
        for part in above:
            inside = inside.get(part)
            if not isinstance(inside, DictConfig):
                raise BadInput(f"{part}={inside}: it has settings of its own, as in {path}=...")
        if last not in inside:
            if path.startswith(GROUPS):
                continue
            raise BadInput(f"{path} is missing: give {kind.words}.")
        value = inside[last]
        if OmegaConf.is_config(value):
            value = OmegaConf.to_container(value)
        if not kind.allows(value):
            told = "null" if value is None else value
            raise BadInput(f"{path}={told}: it must be {kind.words}.")
    for name, figure in cfg.figures.items():
        if not isinstance(figure, DictConfig):
            raise BadInput(f"figures.{name}={figure}: it must be {PARTS.words}.")
