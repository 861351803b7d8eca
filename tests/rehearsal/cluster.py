"""Run a sharded `explain` on a Slurm cluster, end three of its jobs half-way, and merge.

    PYTHONPATH=.:tests .ci/slurm .venv/bin/python -m rehearsal.cluster

Prints the table in docs/scale.md. Exits with 1 if a part or the merged maps differ in any byte from
those of one process.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import torch
from omegaconf import OmegaConf

from naflow import models
from pipeline.app import CONF
from pipeline.explanations import parts
from pipeline.models import weights
from rehearsal.page import table
from rehearsal.workplace import ROOT

CLASSES = list(OmegaConf.load(CONF / "scenes.yaml").scenes.classes.base)
EACH, SIDE, BATCH, SHARDS = 86, 64, 8, 6  # 1,032 pictures of 12 classes, in 129 parts
PATIENCE = 1500  # seconds until what is waited for is given up
MAPS = Path("maps", "resnet18", "naflow")
Seen = list[tuple[str, str]]


def main() -> None:
    """Rehearse, and print the table."""
    with tempfile.TemporaryDirectory(prefix="cluster-") as folder:
        same, seen = rehearsed(Path(folder))
    print(table(("what", "what came of it"), seen))
    sys.exit(0 if same else 1)


def rehearsed(place: Path) -> tuple[bool, Seen]:
    """Return whether the cluster's maps are those of one process, and the rows of the table."""
    make(place)
    start = time.monotonic()
    run(*explain(place, "one"))
    seen = [("one process", f"{time.monotonic() - start:.0f} s")]
    start = time.monotonic()
    slurm = ("hydra/launcher=submitit_slurm", "hydra.launcher.cpus_per_task=1")
    shards = (f"explain.shard=range(0,{SHARDS})", f"explain.shards={SHARDS}")
    stage, *settings = explain(place, "many")
    sweep = command(stage, "-m", *settings, *slurm, *shards, f"hydra.sweep.dir={place}/sweep")
    with (place / "launcher.log").open("w") as log:
        launcher = subprocess.Popen(sweep, cwd=ROOT, stdout=log, stderr=log)
    folder = place / "many" / MAPS
    awaited(lambda: bool(launcher.poll() or parts.paths(folder)), "the first part")
    if launcher.poll():
        sys.exit((place / "launcher.log").read_text())
    seen += [ended(folder, shard, *how) for shard, how in enumerate(ENDS)]
    seen.append(("`merge`, while jobs wait", merged(place, "many")))
    slurm_says("scontrol", "requeue", job(0))
    seen.append((f"`scontrol requeue {job(0)}`, the killed one", state(job(0))))
    code = launcher.wait(PATIENCE)
    seen.append(("the launcher", f"ended with {code} after {time.monotonic() - start:.0f} s"))
    ours, theirs = (contents(place / name, "part-*.npz") for name in ("one", "many"))
    parts_same = ours == theirs
    seen.append((f"{len(theirs)} parts, beside those of one process", said(parts_same)))
    says = [merged(place, results) for results in ("one", "many")]
    seen.append(("`merge`, at the end", "; ".join(filter(None, says)) or "says nothing"))
    ours, theirs = (contents(place / name, "**/*") for name in ("one", "many"))
    same = ours == theirs and any(name.startswith("maps.zarr") for name in ours)
    seen.append((f"the store, {len(theirs)} files, beside that of one process", said(same)))
    return same and parts_same, seen


def ended(folder: Path, shard: int, what: str, end: Callable[[str], object]) -> tuple[str, str]:
    """End the job of a shard after its first part; return what was done, and the job's state."""
    awaited(parts.path(folder, shard).exists, f"the first part of shard {shard}")
    end(job(shard))
    at_work = ("RUNNING", "COMPLETING")
    awaited(lambda: not state(job(shard)).startswith(at_work), f"the end of {job(shard)}")
    own = [one for one in parts.paths(folder) if int(one.stem[5:]) % SHARDS == shard]
    return f"shard {shard}: {what}", f"{len(own)} parts there; the job: {state(job(shard))}"


def killed(name: str) -> None:
    """Kill the worker process of a job."""
    for line in slurm_says("scontrol", "listpids", told(name)["JobId"]).splitlines()[1:]:
        worker = psutil.Process(int(line.split()[0]))
        if "submitit.core._submit" in worker.cmdline():
            worker.kill()


def preempted(name: str) -> None:
    """Send a job Slurm's preemption signal. scancel may fail; the job's state then shows it."""
    subprocess.run(("scancel", "--signal=USR2", name), check=False)


ENDS = (
    ("its process killed (SIGKILL)", killed),
    ("preempted (`scancel --signal=USR2`)", preempted),
    ("`scontrol requeue`", lambda name: slurm_says("scontrol", "requeue", name)),
)


def make(place: Path) -> None:
    """Write pictures, and a network with random weights."""
    torch.manual_seed(0)
    network = models.create("resnet18", classes=len(CLASSES))
    weights.save(place / "w.safetensors", "resnet18", network, CLASSES)
    drawn = (f"scenes.count.base.{split}={n}" for split, n in (("train", 1), ("test", EACH)))
    few = ("scenes.count.val.test=1", "scenes.count.novel.test=1")
    run("data", f"scenes.root={place}/scenes", f"scenes.size={SIDE}", *drawn, *few)


def explain(place: Path, results: str) -> tuple[str, ...]:
    """Return the stage that explains all pictures, and its settings."""
    return (
        "explain",
        *("model=resnet18", "method=naflow", "images=shapes", f"scenes.root={place}/scenes"),
        *(f"model.weights={place}/w.safetensors", f"model.input.size={SIDE}"),
        *("explain.pictures=null", f"explain.batch={BATCH}", f"results={place}/{results}"),
    )


def command(name: str, *settings: str) -> list[str]:
    """Return the command of a stage."""
    quiet = ("tracking.mode=disabled", "device=cpu", "quiet=true")
    return [sys.executable, "-m", f"pipeline.{name}", *settings, *quiet]


def run(name: str, *settings: str) -> str:
    """Run a stage; return its stderr. Exits if a stage other than `merge` fails."""
    ran = subprocess.run(command(name, *settings), cwd=ROOT, capture_output=True, text=True)
    if ran.returncode and name != "merge":
        sys.exit(ran.stderr)
    return ran.stderr


def merged(place: Path, results: str) -> str:
    """Run `merge`; return its messages, "" if all is well."""
    return " ".join(run("merge", f"results={place}/{results}").replace(f"{place}/", "").split())


def contents(results: Path, files: str) -> dict[str, bytes]:
    """Return name -> bytes of the maps' files that match a pattern."""
    found = (one for one in (results / MAPS).glob(files) if one.is_file())
    return {str(one.relative_to(results / MAPS)): one.read_bytes() for one in found}


def said(same: bool) -> str:
    """Return the outcome of a comparison as text."""
    return "the same, byte for byte" if same else "**not the same**"


def job(shard: int) -> str:
    """Return the name of a shard's job. Slurm must have a single job array."""
    return f"{slurm_says('squeue', '--noheader', '--states=all', '--format=%F').split()[0]}_{shard}"


def state(name: str) -> str:
    """Return the state of a job and Slurm's reason, as in PENDING (BeginTime)."""
    about = told(name)
    return about["JobState"] + f" ({about['Reason']})" * (about["Reason"] != "None")


def told(name: str) -> dict[str, str]:
    """Return all fields of a job in Slurm."""
    cells = slurm_says("scontrol", "show", "job", name).split()
    return dict(cell.partition("=")[::2] for cell in cells)


def slurm_says(*command: str) -> str:
    """Run a command of Slurm; return its output. Raises CalledProcessError if it fails."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def awaited(there: Callable[[], bool], what: str) -> None:
    """Wait until `there` is true. Exits after PATIENCE seconds."""
    start = time.monotonic()
    while not there():
        if time.monotonic() - start > PATIENCE:
            sys.exit(f"Waited {PATIENCE} s in vain for {what}.")
        time.sleep(0.5)


if __name__ == "__main__":
    main()
