"""A copy of the project in its own folder, to run and time commands in."""

import os
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
from omegaconf import OmegaConf

from rehearsal.world import NETWORKS

ROOT = Path(__file__).resolve().parents[2]
SIDE = 112  # pixels a side of what the ResNets are given, a quarter of the day's work
# What is shorter than on the day: a file of conf/, a setting, its value.
SHORTER: tuple[tuple[str, str, Any], ...] = (
    *(
        (f"conf/recipe/cub/{name}.yaml", key, value)
        for name in ("conv64f", "conv4net")
        for key, value in {
            "steps.classification.schedule.phases.0.epochs": 4,
            "steps.classification.schedule.batch": 32,
            "steps.episodes.schedule.phases.0.epochs": 1,
            "steps.episodes.schedule.batch": 1,
            "steps.episodes.objective.steps": 10,
            "verify.episodes": 400,
            "gate.accuracy": 0.25,
        }.items()
    ),
    *(
        ("conf/recipe/cub_retrieval/resnet50_ms.yaml", key, value)
        for key, value in {
            "size": SIDE,
            "steps.retrieval.schedule.phases.0.size": SIDE,
            "steps.retrieval.schedule.phases.0.epochs": 1,
            "steps.retrieval.objective.steps": 2,
            "steps.retrieval.schedule.batch": 20,
            "gate.recall1": 0.05,
        }.items()
    ),
    *((f"conf/recipe/imagenet/{name}.yaml", "size", SIDE) for name in NETWORKS),
    ("conf/profile/paper.yaml", "pictures", 2),
)
RUNNING = re.compile(r"Running stage '([^']+)'")


@dataclass(frozen=True)
class Ran:
    """A finished command: exit code, output, seconds, CPU seconds, and stage of DVC -> both times,
    in order."""

    command: str
    code: int
    text: str
    seconds: float
    core: float
    stages: Mapping[str, tuple[float, float]] = field(default_factory=dict)


class Workplace:
    """A copy of the project's files (except those that git ignores) in `folder`, with SHORTER set.

    If the folder exists, the project's files are copied again and all results are kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, anew = folder, not folder.exists()
        listed = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
        names = subprocess.run(listed, cwd=ROOT, capture_output=True, check=True).stdout
        for name in filter(None, names.decode().split("\0")):
            if (ROOT / name).is_file() and (anew or name not in ("params.yaml", "dvc.lock")):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        for name, key, value in SHORTER:
            self.set(name, key, value)
        if anew:
            self._set_up()

    def _set_up(self) -> None:
        """Link this interpreter's environment instead of `make setup`; add an empty flow.png."""
        (self.folder / ".dvc" / "config.local").write_text("[core]\n    no_scm = true\n")
        venv, own = Path(sys.prefix), self.folder / ".venv"
        own.mkdir()
        for name in ("bin", "lib", "pyvenv.cfg"):
            (own / name).symlink_to(venv / name)
        (own / ".done").touch()
        (self.folder / "figures" / "flow.png").touch()

    def copied(self, folder: Path) -> "Workplace":
        """Return a copy in another folder. Large files are hard links: they are never edited."""

        def copy(source: str, target: str) -> None:
            (os.link if os.path.getsize(source) > 2**20 else shutil.copy2)(source, target)

        shutil.copytree(self.folder, folder, symlinks=True, copy_function=copy)
        other = object.__new__(Workplace)
        other.folder = folder
        return other

    def set(self, name: str, key: str, value: object) -> None:
        """Change one setting of a YAML file; key: its path, joined by dots."""
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
        """Run a shell command there; return it with the times of each stage of DVC."""
        start, before = time.monotonic(), core_seconds()
        lines: list[str] = []
        began: list[tuple[str, float, float]] = []
        with subprocess.Popen(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self.environment | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(line)
                if found := RUNNING.search(line):
                    began.append((found[1], time.monotonic(), core_seconds_below(process.pid)))
        code, end = process.returncode, time.monotonic()
        core = core_seconds() - before
        stages = {
            name: (last - at, used_last - used)
            for (name, at, used), (_, last, used_last) in pairwise([*began, ("", end, core)])
        }
        return Ran(command, code, "".join(lines), end - start, core, stages)

    @property
    def environment(self) -> dict[str, str]:
        """The caller's environment, with this copy's programs and settings that stay offline."""
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
    """Return the CPU seconds of all finished commands so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def core_seconds_below(pid: int) -> float:
    """Return the CPU seconds so far of a running process and all that it started."""
    root, total = psutil.Process(pid), 0.0
    for one in (root, *root.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):  # it has ended meanwhile
            times = one.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total
