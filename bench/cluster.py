"""A sharded job of `explain` on a real scheduler: started, killed, requeued, merged, compared.

    .ci/slurm .venv/bin/python -m bench.cluster

1,032 scenes of 32 pixels and a ResNet18 of random weights, in parts of 16 pictures: first one
process, then eight shards as a Slurm array, two at a time. One of its tasks is killed outright,
another is requeued while it runs, as preemption does it. The same command again makes what is
missing; then every part is compared with that of the one process, bit for bit, and both are merged.
"""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from naflow import models
from pipeline.models import weights

PLACE = Path("outputs/cluster")
METHOD = "selective"
SHARDS, EACH, SIDE = 8, 86, 32  # shards, scenes a class, pixels a side
SCENES = [
    f"scenes.root={PLACE}/scenes",
    f"scenes.size={SIDE}",
    f"scenes.count.base={{train: 0, val: 0, test: {EACH}}}",
    "scenes.count.val={test: 0}",
    "scenes.count.novel={test: 0}",
]
EXPLAIN = [
    *(
        "model=resnet18",
        "images=shapes",
        f"method={METHOD}",
        "tracking.mode=disabled",
        "quiet=true",
    ),
    *(f"images.root={PLACE}/scenes", f"model.weights={PLACE}/resnet18.safetensors"),
    *(f"model.input.size={SIDE}", "explain.pictures=null", "explain.batch=16"),
]
SLURM = [
    *("-m", "hydra/launcher=submitit_slurm", "hydra.launcher.timeout_min=60"),
    *("hydra.launcher.cpus_per_task=1", "hydra.launcher.array_parallelism=2"),
    *(f"explain.shard=range(0,{SHARDS})", f"explain.shards={SHARDS}"),
]


def main() -> None:
    """Run it all, and print what was seen."""
    shutil.rmtree(PLACE, ignore_errors=True)
    stage("data", *SCENES)
    torch.manual_seed(0)
    names = sorted({path.stem.split("_")[0] for path in (PLACE / "scenes/images").iterdir()})
    network = models.create("resnet18", classes=len(names))
    weights.save(PLACE / "resnet18.safetensors", "resnet18", network, names)
    alone = timed(stage, "explain", *EXPLAIN, f"results={PLACE}/alone")
    print(f"One process: {len(parts('alone'))} parts in {alone:.0f} s.", flush=True)

    start, told = time.monotonic(), [*EXPLAIN, f"results={PLACE}/shared", *SLURM]
    launcher = subprocess.Popen(command("explain", *told))
    tasks = running(2)
    wait(lambda: len(parts("shared")) >= 4)
    killed, requeued = tasks[0], tasks[1]
    slurm("scontrol", "requeue", requeued)
    os.kill(worker(killed), signal.SIGKILL)
    print(f"At {len(parts('shared'))} parts: {killed} was killed, {requeued} requeued.", flush=True)
    code = launcher.wait()
    made = parts("shared")
    print(
        f"The array ended after {time.monotonic() - start:.0f} s, exit code {code}, "
        f"{len(made)} parts there; {slurm('scontrol', 'show', 'job', requeued, '-o')}",
        flush=True,
    )
    kept = {path: path.stat().st_mtime_ns for path in made.values()}
    again = timed(stage, "explain", *told)
    whole = parts("shared")
    touched = sum(path.stat().st_mtime_ns != time for path, time in kept.items())
    print(
        f"The same command again: {again:.0f} s, {len(whole) - len(made)} parts made, {touched} of "
        f"those that were there touched.",
        flush=True,
    )
    one, shared = digests("alone"), digests("shared")
    print(f"Parts that differ from those of one process: {differing(one, shared)}.")
    for results in ("alone", "shared"):
        stage("merge", f"results={PLACE}/{results}", "quiet=true")
    stores = [stored(results) for results in ("alone", "shared")]
    print(f"Files of the merged stores: {len(stores[0])}; differing: {differing(*stores)}.")


def command(stage: str, *settings: str) -> list[str]:
    """A stage's command."""
    return [sys.executable, "-m", f"pipeline.{stage}", *settings]


def stage(name: str, *settings: str) -> None:
    """Run a stage to its end."""
    subprocess.run(command(name, *settings), check=True)


def timed(task: Callable[..., None], *arguments: str) -> float:
    """Seconds that a task takes."""
    start = time.monotonic()
    task(*arguments)
    return time.monotonic() - start


def parts(results: str) -> dict[str, Path]:
    """The parts that are there, by name."""
    folder = PLACE / results / "maps" / "resnet18" / METHOD
    return {path.name: path for path in sorted(folder.glob("part-*.npz"))}


def digests(results: str) -> dict[str, str]:
    """The parts' SHA-256."""
    return {name: sha256(path) for name, path in parts(results).items()}


def stored(results: str) -> dict[str, str]:
    """The SHA-256 of every file of the merged store."""
    root = PLACE / results / "maps" / "resnet18" / METHOD / "maps.zarr"
    return {str(p.relative_to(root)): sha256(p) for p in sorted(root.rglob("*")) if p.is_file()}


def sha256(path: Path) -> str:
    """Of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def differing(one: dict[str, str], other: dict[str, str]) -> int:
    """How many names have not the same digest in both."""
    return sum(one.get(name) != other.get(name) for name in one | other)


def slurm(*words: str) -> str:
    """What a command of Slurm prints."""
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


def running(count: int) -> list[str]:
    """The first tasks that run, as ARRAY_TASK, once there are `count`."""
    found: list[str] = []

    def there() -> bool:
        found[:] = slurm("squeue", "--noheader", "--states=R", "--array", "--format=%i").split()
        return len(found) >= count

    wait(there)
    return found


def worker(task: str) -> int:
    """The process of a task that computes: the youngest of its step."""
    listed = slurm("scontrol", "listpids").splitlines()[1:]
    job = slurm("squeue", "--noheader", f"--jobs={task}", "--format=%A").split()[0]
    pids = [int(line.split()[0]) for line in listed if line.split()[1] == job]
    return max(pids)


def wait(ready: Callable[[], bool], most: float = 300) -> None:
    """Until something is so. Raises TimeoutError."""
    end = time.monotonic() + most
    while not ready():
        if time.monotonic() > end:
            raise TimeoutError("the scheduler did not come so far")
        time.sleep(0.5)


if __name__ == "__main__":
    main()
