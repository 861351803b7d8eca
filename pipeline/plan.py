"""How long it takes to explain many pictures on many GPUs, told before anything runs.

    python -m pipeline.plan
    python -m pipeline.plan plan.gpus=[4] plan.pictures=1000000 plan.rate=5000

Prints, for each method of `plan.methods`, a table of the networks of `plan.profile`: computed from
what their flows cost (conf/costs.json, measured by `python -m bench.costs`) and from `plan.rate`,
the GFLOP a second that one GPU reaches, which is assumed until it is measured.
"""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from naflow import models
from naflow.errors import BadInput, near_names
from naflow.methods import label
from pipeline import costs, profile
from pipeline.app import stage
from pipeline.costs import Cost
from pipeline.markdown import table

# Measured on one core: docs/scale.md.
START = 7.0  # seconds until a worker has its network
READ = 0.002  # seconds to decode a picture
STORED = 0.57  # bytes of the store for one of a part
MERGED = 26e6  # bytes of parts a second
GB, MINUTE = 1e9, 60


@dataclass(frozen=True)
class Job:
    """A network and a method on many pictures, by several GPUs that share them.

    rate   GFLOP a second of one GPU
    known  among how many pictures an embedding looks for references: each worker reads and embeds
           them
    """

    cost: Cost
    method: str
    pictures: int
    rate: float
    known: int

    def minutes(self, gpus: int) -> float:
        """Until the last worker is done."""
        own = math.ceil(self.pictures / gpus)
        work = own * self.cost.flow(self.method) + self.known * self.cost.gflop
        return (START + (own + self.known) * READ + work / self.rate) / MINUTE

    @property
    def hours(self) -> float:
        """GPU hours of the flows alone."""
        return self.pictures * self.cost.flow(self.method) / self.rate / 3600

    @property
    def core_hours(self) -> float:
        """Hours of the core that the costs were measured on, of the flows alone."""
        return self.hours * self.rate / self.cost.speed

    @property
    def parts(self) -> float:
        """GB of parts."""
        return self.pictures * self.cost.maps / GB


@stage
def main(cfg: DictConfig) -> None:
    """Print the plan."""
    sys.stdout.write(told(cfg, costs.read(Path(cfg.plan.costs))))


def told(cfg: DictConfig, known: Mapping[str, Cost]) -> str:
    """The plan, as Markdown. Raises BadInput for a method or network that was not measured."""
    asked = cfg.plan
    names = list(profile.shown(asked.profile))
    if missing := [name for name in names if name not in known]:
        raise BadInput(
            f"{asked.costs} does not tell what flows of {', '.join(missing)} cost. Measure it: "
            f"python -m bench.costs --models {' '.join(missing)}."
        )
    measured = sorted(set.intersection(*(set(known[name].forwards) for name in names)))
    for method in asked.methods:
        if method not in measured:
            raise BadInput(
                f"plan.methods: {method} was not measured; {', '.join(measured)} were."
                f"{near_names(method, measured)}"
            )
    text = [
        f"{asked.pictures:,} pictures on {' or '.join(map(str, asked.gpus))} GPUs, at "
        f"{asked.rate:,} GFLOP/s each (assumed)."
    ]
    for method in asked.methods:
        jobs = {
            name: Job(
                known[name],
                method,
                asked.pictures,
                asked.rate,
                cfg.explain.known * models.card(name).embedding,
            )
            for name in names
        }
        text += ["", f"**{label(method)}**", "", of_method(jobs, asked.gpus, cfg.explain.batch)]
    return "\n".join(text) + "\n"


def of_method(jobs: Mapping[str, Job], gpus: Sequence[int], batch: int) -> str:
    """The table of a method, and a line of sums."""
    heads = ["network", "pixels", "GFLOP, forward", "forward passes", "GiB of a batch"]
    heads += [*(f"min, {n} GPUs" for n in gpus), "GB, parts", "GB, store", "min, merge"]
    rows = []
    for name, job in jobs.items():
        memory = job.cost.memory[job.method] * batch / 2**30
        cells = [job.cost.size, f"{job.cost.gflop:.2f}", f"{job.cost.forwards[job.method]:.1f}"]
        rows.append(
            [models.card(name).title, *map(str, cells), f"{memory:.2f}", *numbers([job], gpus)]
        )
    hours = sum(job.hours for job in jobs.values())
    rows.append([f"all: {hours:.1f} GPU hours", *[""] * 4, *numbers(list(jobs.values()), gpus)])
    cores = sum(job.core_hours for job in jobs.values())
    return table(heads, rows) + f"\nOn cores like the one measured: {cores:.0f} core hours."


def numbers(jobs: Sequence[Job], gpus: Sequence[int]) -> list[str]:
    """The cells of one job, or of several that run one after the other."""
    minutes = [sum(job.minutes(n) for job in jobs) for n in gpus]
    parts = sum(job.parts for job in jobs)
    merge = parts * GB / MERGED / MINUTE
    return [f"{value:.1f}" for value in (*minutes, parts, parts * STORED, merge)]


if __name__ == "__main__":
    main()
