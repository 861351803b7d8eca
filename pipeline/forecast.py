"""How long the stages of a profile will take on this machine, and how much memory.

Nothing is invented. Work is counted in forward passes of each network: so many pictures, so many
epochs, and what a flow, a training step and judging take as long as (conf/costs.json, measured by
`python -m bench.costs`). How long a forward pass takes is timed here. A stage that runs no network
takes what it took of one core in the rehearsal (conf/rehearsed.json, by `make rehearsal`).
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import Generator, Tensor, nn

from naflow import models
from pipeline import costs, device
from pipeline.app import CONF
from pipeline.atomic import read_json
from pipeline.costs import Cost
from pipeline.count import count
from pipeline.judging.protocols import Episodes, NearestNeighbours
from pipeline.markdown import table
from pipeline.models.subject import AT_ONCE
from pipeline.photographs.neighbours import StatedNeighbours
from pipeline.pictures.images import Part
from pipeline.plan import READ, START

REHEARSED = CONF / "rehearsed.json"
BANK = 1_281_167 * 128 * 4  # bytes of a memory bank of ImageNet
AT_A_TIME = 64  # pictures that go through a network together, to verify it
GB = 1e9
DOWNLOAD = ", and the download"
TIMED = 0.5  # seconds of forward passes, at least


@dataclass(frozen=True)
class Stage:
    """A stage of dvc.yaml, or all of a kind.

    seconds  None where nothing that was measured tells them
    why      what they are computed from
    memory   bytes of weights, pictures and values alive at the peak; 0 where no network runs
    disk     bytes of the maps that it writes
    """

    name: str
    seconds: float | None
    why: str
    memory: float = 0
    disk: float = 0


@dataclass(frozen=True)
class Network:
    """A network of the profile, with random weights on the device that will run it, and its pace.

    recipe    how it is trained and verified
    plain     seconds that a forward pass of one picture takes, of recipe.size pixels, as to explain
    training  the same as in training, in its precision
    width     numbers that it gives for a picture
    """

    name: str
    images: str
    recipe: Any
    network: nn.Module
    cost: Cost
    plain: float
    training: float
    width: int

    @property
    def weights(self) -> int:
        """Bytes."""
        return 4 * sum(one.numel() for one in self.network.parameters())

    def scale(self, size: int) -> float:
        """How many times as much work a picture of `size` pixels is as those of the costs."""
        return (size / self.cost.size) ** 2


def forecast(cfg: DictConfig) -> list[Stage]:
    """The stages of the profile cfg.fetch.profile, in the order in which they run.

    Raises BadInput for a file of costs that cannot be read, and for a device that is not there.
    """
    profile: Any = OmegaConf.to_container(OmegaConf.load(cfg.fetch.profile))
    trained, published = profile["trained"] or {}, profile["published"] or {}
    known, took = costs.read(Path(cfg.plan.costs)), read_json(REHEARSED)
    shown = {name: item["images"] for name, item in (trained | published).items()}
    of: dict[str, list[Stage]] = {"train": [], "verify": [], "explain": []}
    for name, images in shown.items():
        kinds = ("train", "verify", "explain") if name in trained else ("verify", "explain")
        told = of_network(cfg, name, images, known.get(name), profile["pictures"], kinds)
        for kind, one in zip(kinds, told, strict=True):
            of[kind].append(one)
    return [
        rehearsed(took, "flow"),
        *(rehearsed(took, "data", key) for key in profile["scenes"]),
        *(rehearsed(took, "cub", key, DOWNLOAD) for key in profile["downloads"]),
        *(rehearsed(took, "index", key) for key in profile["placed"]),
        *(rehearsed(took, "gather", key) for key in profile["gathered"]),
        *(rehearsed(took, "fetch", key, DOWNLOAD) for key in published),
        *of["train"],
        *of["verify"],
        *(rehearsed(took, "select", key) for key in shown),
        *of["explain"],
        rehearsed(took, "evaluate"),
        *(rehearsed(took, "figure", key) for key in profile["drawn"]),
        *(rehearsed(took, "absent", key) for key in profile["absent"]),
        rehearsed(took, "report"),
    ]


def rehearsed(took: Mapping[str, float], kind: str, key: str = "", also: str = "") -> Stage:
    """A stage that runs no network."""
    name = f"{kind}@{key}" if key else kind
    if name in took:
        return Stage(name, took[name], f"as rehearsed{also}")
    return Stage(name, START, f"its start{also}")


def of_network(
    cfg: DictConfig,
    name: str,
    images: str,
    cost: Cost | None,
    pictures: int,
    kinds: Sequence[str],
) -> list[Stage]:
    """The stages that run a network. kinds: of train, verify and explain those that it has."""
    path = CONF / "recipe" / images / f"{name}.yaml"
    known = {one.name for one in (CONF / "recipe").iterdir()}  # a profile must not lead elsewhere
    if cost is None or images not in known or not path.is_file():
        missing = f"there is no conf/recipe/{images}/{name}.yaml"
        why = missing if cost else f"measure it: python -m bench.costs --models {name}"
        return [Stage(f"{kind}@{name}", None, why) for kind in kinds]
    recipe: Any = OmegaConf.load(path)
    one = paced(name, images, recipe, cost, device.chosen(cfg.device), cfg.explain.batch)
    found = {
        "train": lambda: trained(cfg, one),
        "verify": lambda: verified(cfg, one),
        "explain": lambda: explained(cfg, one, pictures),
    }
    return [found[kind]() for kind in kinds]


def paced(
    name: str, images: str, recipe: Any, cost: Cost, where: torch.device, batch: int
) -> Network:
    """A network and how long its forward passes take on a device, `batch` pictures at a time."""
    network = models.create(name).to(where).eval()
    shown = torch.rand(batch, 3, recipe.size, recipe.size, device=where)
    plain = seconds(network, shown) / batch
    training = plain
    if "steps" in recipe:
        with device.autocast(where):
            last = shown.contiguous(memory_format=torch.channels_last)
            network.train().to(memory_format=torch.channels_last)
            training = seconds(network, last) / batch
    with torch.no_grad():
        width = prod(network.eval()(shown[:1]).shape[1:])
    return Network(name, images, recipe, network, cost, plain, training, width)


@torch.no_grad()
def seconds(network: nn.Module, images: Tensor) -> float:
    """How long a forward pass takes, on average over TIMED seconds, after a first one."""
    network(images).cpu()
    start, runs = time.perf_counter(), 0
    while (past := time.perf_counter() - start) < TIMED:
        network(images).cpu()  # waits for the device
        runs += 1
    return past / runs


def trained(cfg: DictConfig, one: Network) -> Stage:
    """Training by the recipe."""
    learnt = count(cfg, one.images, one.recipe.learns)
    if learnt is None:
        return Stage(f"train@{one.name}", None, "how many pictures it learns from is not known")
    labels = torch.arange(learnt.pictures) % learnt.classes
    took, memory, whys = START, 0.0, []
    for step in one.recipe.steps.values():
        phases, size = step.schedule.phases, step.schedule.phases[-1].size
        objective = instantiate(step.objective, network=one.network, labels=labels, size=size)
        drawn = list(
            objective.batches(labels, step.schedule.batch, Generator().manual_seed(cfg.seed))
        )
        views, most = sum(map(len, drawn)), max(map(len, drawn))
        work = sum(phase.epochs * views * (phase.size / one.recipe.size) ** 2 for phase in phases)
        took += learnt.pictures * READ + work * one.cost.step * one.training
        held = 4 * learnt.pictures * step.pixels**2  # colours and mask
        largest = max(one.scale(phase.size) for phase in phases)
        memory = max(memory, held + most * largest * one.cost.alive["step"])
        epochs = sum(phase.epochs for phase in phases)
        whys.append(f"{epochs} epochs of {views:,} views")
    state = 4 * one.weights  # weights, gradients, at most two moments
    why = f"{learnt.pictures:,} pictures, {' and '.join(whys)}"
    passes = f"{one.cost.step:g} forward passes each of {1000 * one.training:.3g} ms"
    return Stage(f"train@{one.name}", took, f"{why}, {passes}", state + memory)


def verified(cfg: DictConfig, one: Network) -> Stage:
    """Verification by the recipe's protocol."""
    settings = dict(one.recipe.verify)
    parts = {name: Part(**settings[name]) for name in ("part", "known") if settings.get(name)}
    counts = [count(cfg, one.images, settings[name]) for name in parts]
    if None in counts:
        return Stage(f"verify@{one.name}", None, "how many pictures verify it is not known")
    pictures = sum(found.pictures for found in counts if found)
    protocol = instantiate(settings | parts)
    judged = _judged(protocol, pictures)
    work = pictures + judged * one.cost.judge / one.scale(one.recipe.size)
    held = min(pictures, AT_ONCE) * 4 * one.recipe.size**2 + pictures * one.width * 4
    passes = AT_A_TIME * one.scale(one.recipe.size) * one.cost.alive["forward"]
    memory = one.weights + held + max(passes, one.cost.alive["judge"] if judged else 0)
    bank = BANK if isinstance(protocol, NearestNeighbours | StatedNeighbours) and judged else 0
    why = f"{pictures:,} pictures, a forward pass each of {1000 * one.plain:.3g} ms"
    if judged:
        what = "episodes" if isinstance(protocol, Episodes) else "votes of neighbours"
        why += f"; {judged:,} {what} of {one.cost.judge:.2g} forward passes"
    took = START + pictures * READ + work * one.plain
    return Stage(f"verify@{one.name}", took, why, memory + bank)


def _judged(protocol: object, pictures: int) -> int:
    """How many episodes or votes in a published memory bank a protocol needs."""
    if isinstance(protocol, Episodes):
        return protocol.episodes
    if isinstance(protocol, NearestNeighbours):
        return pictures if protocol.known is None else 0
    return len(protocol.stated) if isinstance(protocol, StatedNeighbours) else 0


def explained(cfg: DictConfig, one: Network, pictures: int) -> Stage:
    """The maps of all methods of the figures, of the pictures that are explained anyway."""
    methods = cfg.methods.split(",")
    passes = sum(one.cost.forwards[method] for method in methods)
    scale = one.scale(one.recipe.size)
    most = max(one.cost.memory[method] for method in methods)
    return Stage(
        f"explain@{one.name}",
        START + pictures * (READ + passes * one.plain),
        f"{pictures} pictures, {len(methods)} methods, {passes:.0f} forward passes in all of "
        f"{1000 * one.plain:.3g} ms",
        one.weights + cfg.explain.batch * scale * most,
        pictures * len(methods) * scale * one.cost.maps,
    )


def told(stages: list[Stage], where: str) -> str:
    """The table, as Markdown, and its sums. where: the device, in words."""
    rows = [
        (one.name, duration(one.seconds), f"{one.memory / GB:.1f}" if one.memory else "", one.why)
        for one in stages
    ]
    known = [one.seconds for one in stages if one.seconds is not None]
    unknown = [one.name for one in stages if one.seconds is None]
    missing = f", without {', '.join(unknown)}" if unknown else ""
    more = "; downloads come on top" if any(DOWNLOAD in one.why for one in stages) else ""
    return (
        f"Time by stage, one after the other, on {where}. Forward passes were timed just now; "
        "whatever else it is computed from was measured before, on one core.\n\n"
        + table(("stage", "time", "memory, GB", "computed from"), rows)
        + f"\nTogether: about {duration(sum(known))}{missing}{more}.\n"
        f"Memory: at most about {max((one.memory for one in stages), default=0) / GB:.1f} GB of "
        "weights, pictures and values, Python and PyTorch not included.\n"
        f"Maps: about {sum(one.disk for one in stages) / GB:.1f} GB of disk.\n"
    )


def duration(seconds: float | None) -> str:
    """In words: 12 s, 3.4 min, 5.6 h."""
    if seconds is None:
        return "not known"
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"
