"""A copy of the project in a folder of its own, where commands are run and timed."""

import os
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

ROOT = Path(__file__).resolve().parents[2]
# What is shorter than on the day: a file of conf/, a setting, its value.
SHORTER: tuple[tuple[str, str, Any], ...] = (
    *(
        (f"conf/recipe/cub/{name}.yaml", key, value)
        for name in ("conv64f", "conv4net")
        for key, value in {
            "steps.classification.schedule.phases.0.epochs": 4,
            "steps.classification.schedule.batch": 32,
            "steps.episodes.schedule.phases.0.epochs": 1,
            "steps.episodes.objective.steps": 10,
            "verify.episodes": 400,
            "gate.accuracy": 0.25,
        }.items()
    ),
    ("conf/recipe/cub_retrieval/resnet50_ms.yaml", "steps.retrieval.schedule.phases.0.epochs", 1),
    ("conf/recipe/cub_retrieval/resnet50_ms.yaml", "steps.retrieval.objective.steps", 2),
    ("conf/recipe/cub_retrieval/resnet50_ms.yaml", "steps.retrieval.schedule.batch", 20),
    ("conf/recipe/cub_retrieval/resnet50_ms.yaml", "gate.recall1", 0.15),
    ("conf/profile/paper.yaml", "pictures", 2),
    ("conf/scenes.yaml", "scenes.count.base.train", 2),  # which this profile does not use
)
RUNNING = re.compile(r"Running stage '([^']+)'")


@dataclass(frozen=True)
class Ran:
    """A command that has ended: its exit code, what it printed, its seconds, those of a core, and
    the seconds of the stages of DVC that it ran, in order."""

    command: str
    code: int
    text: str
    seconds: float
    core: float
    stages: Mapping[str, float] = field(default_factory=dict)


class Workplace:
    """The project's files (those that git does not ignore) copied to `folder`, shortened."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        listed = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
        names = subprocess.run(listed, cwd=ROOT, capture_output=True, check=True).stdout
        for name in filter(None, names.decode().split("\0")):
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        for name, key, value in SHORTER:
            self.set(name, key, value)
        (folder / ".dvc" / "config.local").write_text("[core]\n    no_scm = true\n")
        self._set_up()

    def _set_up(self) -> None:
        """What `make setup` and the first picture would give, that of this interpreter."""
        venv, own = Path(sys.prefix), self.folder / ".venv"
        own.mkdir()
        for name in ("bin", "lib", "pyvenv.cfg"):
            (own / name).symlink_to(venv / name)
        (own / ".done").touch()
        (self.folder / "figures" / "flow.png").touch()

    def set(self, name: str, key: str, value: object) -> None:
        """Change one setting of a file, wherever it lies in lists and mappings."""
        path = self.folder / name
        if "." not in key:  # a knob: the file's own words, anchors included, stay
            text, count = re.subn(rf"(?m)^{key}: \S+", f"{key}: {value}", path.read_text())
            assert count == 1, key
            path.write_text(text)
            return
        settings = OmegaConf.load(path)
        OmegaConf.update(settings, key, value, force_add=False)
        OmegaConf.save(settings, path)

    def run(self, command: str, **variables: str) -> Ran:
        """Run a line of the shell there, and note when each stage of DVC began."""
        start, before = time.monotonic(), core_seconds()
        lines: list[str] = []
        began: list[tuple[str, float]] = []
        process = subprocess.Popen(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self.environment | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if found := RUNNING.search(line):
                began.append((found[1], time.monotonic()))
        code, end = process.wait(), time.monotonic()
        stages = {name: last - at for (name, at), (_, last) in pairwise([*began, ("", end)])}
        core = core_seconds() - before
        return Ran(command, code, "".join(lines), end - start, core, stages)

    @property
    def environment(self) -> dict[str, str]:
        """That of the caller, with this place's programs and nothing from beyond loopback."""
        own = {name: value for name, value in os.environ.items() if name != "IMAGENET"}
        return own | {
            "PATH": f"{self.folder}/.venv/bin:{os.environ['PATH']}",
            "DVC_SITE_CACHE_DIR": f"{self.folder}/.dvc/tmp/site",
            "NO_PROXY": "127.0.0.1",
            "NAFLOW_PUBLISHED": f"{self.folder}/published.json",
            "NAFLOW_QUIET": "true",
            "NAFLOW_DEVICE": "cpu",
            "OMP_NUM_THREADS": "1",
            "PYTHONUNBUFFERED": "1",
            "WANDB_MODE": "disabled",
        }


def core_seconds() -> float:
    """What all commands that have ended took of a core so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
