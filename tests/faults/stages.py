"""Two of every stage at once, on a job so small that each takes a second or less.

The stages run once, each after what it needs; what lay there before each and after it is kept. A
case lays out the first, and compares with the second what two processes leave that begin together.
"""

import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from at_once import at_once
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

import naflow.models
import pipeline.explain
import pipeline.measure
from naflow.cli import demo
from naflow.errors import NAFlowError
from naflow.explainers import GradCAM
from naflow.models import Weights
from naflow.models.cards import CARDS
from pipeline import (
    data,
    evaluate,
    fetch,
    figure,
    flow,
    index,
    merge,
    report,
    select,
    train,
    verify,
)
from pipeline.app import CONF, sentence

REFUSED = 3  # the code of a process that ended with a sentence
TRAINED = "recipe.steps.classification"
SMALL = [
    "scenes.size=32",
    "scenes.classes.base=[disc,cross]",
    "~scenes.classes.val",
    "~scenes.classes.novel",
    "scenes.count.base={train: 4, val: 1, test: 3}",
    "model.network._target_=small_classifier.small",
    "~model.network.name",
    "recipe.size=32",
    "~recipe.gate.top1",
    f"{TRAINED}.pixels=32",
    f"{TRAINED}.schedule.phases=[{{size: 32, epochs: 2}}]",
    f"{TRAINED}.schedule.batch=4",
    "explain.pictures=4",
    "explain.batch=2",
    "measure.deep=1",
    "measure.steps=1",
    "evaluate.method=gradcam",
    "evaluate.resamples=20",
    "methods='gradcam,layercam'",
    "checked=[gradcam]",
    "tracking.mode=disabled",
    "quiet=true",
    "device=cpu",
]
FIGURE = {
    "model": "resnet18",
    "beside": "resnet18",
    "select": {"_target_": "pipeline.judging.rules.Correct", "pictures": 1},
    "draw": {
        "_target_": "pipeline.figures.strips.draw",
        "methods": ["gradcam", "layercam"],
        "layers": ["2", "5"],
    },
    "claims": [],
}


@dataclass(frozen=True)
class Job:
    """What the stages work on: a folder, and the configuration of it."""

    root: Path
    cfg: DictConfig

    def stages(self) -> dict[str, Callable[[], object]]:
        """Every stage that writes, after those that it needs."""
        cfg = self.cfg
        return {
            "data": lambda: data.draw(cfg),
            "index": lambda: index.write(instantiate(cfg.images), Path(cfg.index.file)),
            "train": lambda: train.train(cfg),
            "verify": lambda: verify.verify(cfg),
            "select": lambda: select.select(cfg),
            "explain": lambda: pipeline.explain.explain(cfg, "gradcam"),
            "explain another": lambda: pipeline.explain.explain(self.with_layercam(), "layercam"),
            "evaluate": lambda: evaluate.evaluate(cfg),
            "figure": lambda: figure.draw(cfg),
            "report": lambda: report.report(cfg),
            "measure": lambda: pipeline.measure.measure(cfg, "gradcam"),
            "merge": lambda: merge.merge(Path(cfg.results), quiet=True),
            "fetch": self.fetch,
            "flow": self.flow,
        }

    def with_layercam(self) -> DictConfig:
        """The same with another method."""
        method = {"method": {"_target_": "naflow.explainers.LayerCAM"}}
        return OmegaConf.merge(self.cfg, method)

    def fetch(self) -> None:
        """Weights of a network whose card says where they are; a mirror has them."""
        published = Weights("https://localhost:1/conv4net.pth")
        CARDS["conv4net"] = replace(CARDS["conv4net"], weights=(published,))
        cfg = self.cfg.copy()
        cfg.recipe = {"size": 84, "fit": "crop"}
        cfg.model.name, cfg.model.weights = (
            "conv4net",
            str(self.root / "w" / "conv4net.safetensors"),
        )
        cfg.fetch.mirror = str(self.root / "mirror")
        fetch.prepare(cfg)

    def flow(self) -> None:
        """The first picture, by its quickest method alone."""
        demo.METHODS = {"gradcam": GradCAM}
        flow.flow(self.cfg, self.root / "w" / "lite.safetensors")


def job(root: Path) -> Job:
    """A job in a folder that holds nothing yet."""
    places = [
        f"scenes.root={root}/shapes",
        f"model.weights={root}/w/resnet18.safetensors",
        f"results={root}/results",
        f"drawings={root}/figures",
        f"index.file={root}/index.csv",
        f"fetch.folder={root}/downloads",
        f"fetch.lock={root}/lock.json",
    ]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config", ["method=gradcam", *SMALL, *places])
    OmegaConf.set_struct(cfg, False)
    cfg.figures = {"fig04": FIGURE}
    (root / "mirror").mkdir(parents=True)
    torch.save(naflow.models.create("conv4net").state_dict(), root / "mirror" / "conv4net.pth")
    return Job(root, cfg)


def ends(stage: Callable[[], object]) -> Callable[[], None]:
    """The stage as a program that ends: with REFUSED where it is refused in a sentence."""

    def run() -> None:
        try:
            stage()
        except (NAFlowError, OSError) as error:
            sys.exit(REFUSED if sentence(error) else 1)

    return run


def content(root: Path) -> dict[str, bytes]:
    """All files, but for locks and what killed writers have left."""
    found = {one.relative_to(root).as_posix(): one for one in root.rglob("*") if one.is_file()}
    return {name: one.read_bytes() for name, one in found.items() if "/." not in f"/{name}"}


def laid_out(root: Path, files: dict[str, bytes]) -> None:
    """Empty the folder, and write these."""
    shutil.rmtree(root, ignore_errors=True)
    for name, data_ in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data_)


@dataclass
class Known:
    """What there is before a stage and after it, and the seconds that it takes."""

    before: dict[str, bytes]
    after: dict[str, bytes]
    seconds: float


class Bench:
    """A job and what its stages make of it, each found out when it is asked for first."""

    def __init__(self, folder: Path) -> None:
        self.job = job(folder / "job")
        self.stages = self.job.stages()
        self.known: dict[str, Known] = {}

    def of(self, name: str) -> Known:
        """What a stage makes, those before it have been asked for."""
        if name not in self.known:
            last = next(reversed(self.known.values()), None)
            before = last.after if last else content(self.job.root)
            laid_out(self.job.root, before)
            began = time.monotonic()
            code = self.ended(name, 1, {})
            if code != [0]:
                raise RuntimeError(f"{name} alone ends with {code}")
            seconds = time.monotonic() - began
            self.known[name] = Known(before, content(self.job.root), seconds)
        return self.known[name]

    def ended(self, name: str, count: int, killed: Mapping[int, float]) -> list[int]:
        """The codes of so many processes of a stage that began together."""
        codes = at_once(*[ends(self.stages[name])] * count, killed=killed)
        if odd := {*codes} - {0, REFUSED} - ({-signal.SIGKILL} if killed else set()):
            raise RuntimeError(f"{name}: processes ended with {sorted(odd)}")
        return codes

    def judged(self, name: str, random: np.random.Generator) -> str:
        """Two at once; where one or both were killed, the command is given once more."""
        known = self.of(name)
        laid_out(self.job.root, known.before)
        victims = range(max(0, random.integers(4) - 1))
        end = {number: known.seconds * 1.5 * random.random() for number in victims}
        codes = self.ended(name, 2, end)
        if end:
            codes = self.ended(name, 1, {})
        if 0 not in codes:
            return "lost"
        found = content(self.job.root)
        if found != known.after:
            return "wrong" if known.after.keys() <= found.keys() else "lost"
        return "refused" if REFUSED in codes else "right"
