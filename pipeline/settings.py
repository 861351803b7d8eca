"""What every setting of conf/ may be: wrong ones are refused before any work.

Settings that stand beside a `_target_` and are not listed here are checked by what is called.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from omegaconf import DictConfig, OmegaConf

from naflow.errors import BadInput, near_names
from pipeline.values import (
    FLAG,
    NAME,
    NULL,
    NUMBER,
    SHARE,
    TEXT,
    Kind,
    above,
    at_least,
    between,
    list_of,
    one_of,
    whole,
)

SIDE = whole(1, 2**14)  # pixels
PARTLY, SOME = between(0, 1, "["), between(0, 1, "]")  # not all of it; not nothing
FIT = one_of("crop", "centre", "stretch", "box")  # as pipeline.pictures.images has them
TASK = one_of("classification", "discrimination", "few_shot", "retrieval")
NAMES = list_of(TEXT)
CALLED = Kind(
    "settings with a _target_, the name of what is called",
    lambda v: isinstance(v, dict) and isinstance(v.get("_target_"), str),
)
PHASE = Kind(
    "{size: pixels, epochs: number}",
    lambda v: (
        isinstance(v, dict)
        and v.keys() == {"size", "epochs"}
        and SIDE.allows(v["size"])
        and whole(1).allows(v["epochs"])
    ),
)
QUESTION = Kind("{of: class, pixels: kind}", lambda v: isinstance(v, dict) and "of" in v)
SHOWN = Kind("text, a number, or true or false", lambda v: isinstance(v, str | int | float))


def of(path: str, *tables: Mapping[str, Kind]) -> dict[str, Kind]:
    """The settings of some tables, inside another."""
    return {f"{path}.{name}": kind for table in tables for name, kind in table.items()}


PART = {
    "group": TEXT | NULL,
    "split": one_of("train", "val", "test") | NULL,
    "each": whole(1) | NULL,
}
INPUT = {
    "size": SIDE,
    "fit": FIT,
    "mean": list_of(NUMBER, 3, 3),
    "std": list_of(above(0), 3, 3),
}
MODEL = {
    "name": NAME,
    "task": TASK,
    "network": CALLED,
    "weights": TEXT,
    "labels": TEXT | NULL,
    **of("input", INPUT),
}
IMAGES = {
    "_target_": TEXT,
    "name": NAME,
    "root": TEXT,
    "index": TEXT | NULL,
    **of("columns", dict.fromkeys(("id", "image", "mask", "label", "split", "group"), TEXT)),
    "columns.box": list_of(TEXT, 4, 4),
    "select.*": SHOWN,
    **of("splits", dict.fromkeys(("train", "val", "test"), TEXT | NULL)),
    "classes": NAMES | NULL,
    "groups": NULL,
    "groups.*": NAMES,
    "fit": FIT,
    "elsewhere": TEXT | NULL,
    "labels": TEXT | NULL,
    "synsets": TEXT | NULL,
    "boxes": TEXT | NULL | Kind("false", lambda v: v is False),
}
SCHEDULE = {
    "phases": list_of(PHASE, 1),
    "batch": whole(1),
    "optimizer": one_of("adamw", "adam", "sgd"),
    "rate": above(0),
    "warmup": PARTLY,
    "milestones": list_of(SHARE),
    "weight_decay": at_least(0),
}
AUGMENTATION = {
    "crop": SOME,
    "zoom": PARTLY,
    "shift": SHARE,
    "turn": between(0, 180, "[]"),
    "flip": FLAG,
    "colour": SHARE,
    "shuffle": SHARE,
}
OBJECTIVE = {
    "_target_": TEXT,
    "head": FLAG,
    "smoothing": PARTLY,
    "temperature": above(0),
    "momentum": PARTLY,
    "ways": whole(2),
    "shots": whole(1),
    "queries": whole(1),
    "steps": whole(1),
    "alpha": above(0),
    "beta": above(0),
    "base": NUMBER,
    "epsilon": at_least(0),
    "each": whole(2),
}
PROTOCOL = {
    "_target_": TEXT,
    **of("part", PART),
    "known": NULL,
    **of("known", PART),
    "top": list_of(whole(1), 1),
    "at": list_of(whole(1), 1),
    "neighbours": whole(1),
    "temperature": above(0),
    "ways": whole(2),
    "shots": whole(1),
    "queries": whole(1),
    "episodes": whole(2),  # of one there is no interval
    "scores": TEXT,
    "told": whole(0),
    "stated.*": TEXT,
    "within": whole(1),
}
RECIPE = {
    **of("learns", PART),
    "size": SIDE,
    "fit": FIT,
    "start": NULL,
    **of("start", {"calm": FLAG, "weights": TEXT, "without": NAMES}),
    "steps.*.pixels": SIDE,
    **of("steps.*.schedule", SCHEDULE),
    **of("steps.*.augmentation", AUGMENTATION),
    "steps.*.curriculum": NULL,
    **of("steps.*.curriculum", dict.fromkeys(("bare", "plain", "coloured"), SHARE)),
    "steps.*.curriculum.swap": FLAG,
    **of("steps.*.objective", OBJECTIVE),
    **of("verify", PROTOCOL),
    "gate.*": SHARE,
}
FINETUNE = {
    **of("learns", PART),
    **of("tested", PART),
    "hard": SOME,
    "explainer": CALLED,
    "layer": TEXT | NULL,
    "threshold": SHARE | NULL,
    "arms.*.hide": one_of("background", "attended"),
    "arms.*.fill": one_of("blur", "mean"),
    "arms.*.probability": SHARE,
    "arms.*.shuffled": FLAG,
    "seeds": whole(2),
    "smoothing": PARTLY,
    **of("schedule", SCHEDULE),
    **of("augmentation", AUGMENTATION),
}
SEGMENT = {
    **of("images", IMAGES),
    **of("learns", PART),
    **of("test", PART),
    "targets": CALLED,
    **of("model", MODEL),
    "start": TEXT | NULL,
    **of("schedule", SCHEDULE),
    **of("augmentation", AUGMENTATION),
    "gate.*": SHARE,
    "methods.*": CALLED,
    "layers": NAMES,
    "least": SHARE,
    "questions": list_of(QUESTION, 1),
    "figure": NAME,
}
FIGURE = {
    "model": NAME,
    "beside": NAME,
    "select": CALLED,
    "draw": CALLED,
    "claims": list_of(CALLED),
    "shows": TEXT,
}
OF_ALL = {
    "seed": whole(0, 2**32 - 1),  # numpy's range
    "device": TEXT,
    "quiet": FLAG | NULL,
    "knobs": TEXT | NULL,
    "results": TEXT,
    "drawings": TEXT,
    "figure": NAME,
    **of("figures.*", FIGURE),
    "methods": TEXT,
    "checked": NAMES,
    "document": TEXT,
    "layers.*": NAMES,
    "explain.part.group": TEXT | NULL,
    "explain.part.split": PART["split"],
    "explain.pictures": whole(1) | NULL,
    "explain.known": whole(1) | NULL,
    "explain.cases": TEXT | NULL,
    "explain.batch": whole(1),
    "explain.shard": whole(0),
    "explain.shards": whole(1),
    "explain.shown": whole(0),
    "measure.name": NAME | NULL,
    "measure.detail": FLAG,
    "measure.tolerance": SHARE,
    "measure.deep": whole(0),
    "measure.judged": whole(0) | NULL,
    "measure.steps": whole(1),
    "measure.layers": one_of("all", "blocks"),
    "measure.sanity": FLAG,
    "measure.contrast": FLAG,
    "study.models": NAMES | NULL,
    "study.method": NAME,
    "study.page": FLAG,
    "study.resamples": whole(1),
    "study.confidence": between(0, 1),
    "evaluate.method": NAME,
    "evaluate.resamples": whole(1),
    "evaluate.confidence": between(0, 1),
    "evaluate.tolerance": SHARE,
    "report.all": FLAG,
    "screenshot.file": TEXT,
    "screenshot.view": Kind("text", lambda v: isinstance(v, str)),
    "screenshot.width": whole(1),
    "screenshot.height": whole(1),
    "plan.profile": TEXT,
    "plan.methods": list_of(TEXT, 1),
    "plan.pictures": whole(1),
    "plan.gpus": list_of(whole(1), 1),
    "plan.rate": above(0),
    "plan.costs": TEXT,
    "fetch.folder": TEXT,
    "fetch.lock": TEXT,
    "fetch.mirror": TEXT | NULL,
    "fetch.published": TEXT | NULL,
    "fetch.profile": TEXT,
    "index.file": TEXT,
    "cub.root": TEXT,
    "cub.archives": TEXT,
    "cub.mirror": TEXT | NULL,
    "photographs.root": TEXT,
    "photographs.folder": TEXT | NULL,
    "photographs.before": whole(0),
    **of("photographs.known.*", dict.fromkeys(("file", "class", "author", "licence"), TEXT)),
    "photographs.known.*.box": list_of(NUMBER, 4, 4) | NULL,
    "tracking.mode": one_of("offline", "online", "disabled"),
    "tracking.project": TEXT,
    "tracking.folder": TEXT,
    "scenes.root": TEXT,
    "scenes.size": whole(16, 4096),
    "scenes.seed": whole(0),
    "scenes.classes.*": list_of(NAME, 1),
    "scenes.count.*.*": whole(0),
    "method._target_": TEXT,
}
CHOSEN = {  # by files of conf/, of which not every one has every setting
    **of("images", IMAGES),
    **of("model", MODEL),
    **of("recipe", RECIPE),
    **of("finetune", FINETUNE),
    **of("segment", SEGMENT),
}
SETTINGS = OF_ALL | CHOSEN


@dataclass
class Setting:
    """What a setting may be, and the settings inside it; "*" stands for any name."""

    kind: Kind | None = None
    inside: dict[str, Setting] = field(default_factory=dict)
    needed: bool = False

    def words(self, path: str) -> str:
        """What is allowed, of the setting that stands at `path`."""
        if not self.inside:
            return f"it must be {self.kind.words}" if self.kind else ""
        example, deep = path, self
        while deep.inside:
            name, deep = next(iter(deep.inside.items()))
            example += f".{'NAME' if name == '*' else name}"
        other = f"it must be {self.kind.words}, or " if self.kind else "it "
        return f"{other}has settings of its own, as in {example}=..."


def tree() -> Setting:
    """SETTINGS, one inside the other."""
    root = Setting()
    for path, kind in SETTINGS.items():
        one = root
        for name in path.split("."):
            needed = path in OF_ALL and name != "*" and (one.needed or one is root)
            one = one.inside.setdefault(name, Setting(needed=needed))
        one.kind = kind
    return root


TREE = tree()


def check(cfg: DictConfig) -> None:
    """Raise BadInput for the first setting that is unknown, missing or not as SETTINGS has it."""
    _check(cfg, TREE, "")


def _check(given: DictConfig, known: Setting, above_it: str) -> None:
    for name, one in known.inside.items():
        if one.needed and name not in given:
            raise BadInput(f"{above_it}{name} is missing: {one.words(above_it + name)}.")
    for name in map(str, given):
        path, one = above_it + name, known.inside.get(name, known.inside.get("*"))
        if one is None:
            if "_target_" in given:  # what is called knows its settings
                continue
            raise BadInput(f"{path}: there is no such setting.{near_names(name, known.inside)}")
        if OmegaConf.is_missing(given, name):  # ???: the stage that needs it says so
            continue
        value = given[name]
        if one.inside and isinstance(value, DictConfig):
            _check(value, one, f"{path}.")
            continue
        if OmegaConf.is_config(value):
            value = OmegaConf.to_container(value, resolve=True)
        if one.kind is None or not one.kind.allows(value):
            told = "null" if value is None else value
            raise BadInput(f"{path}={told}: {one.words(path)}.")
