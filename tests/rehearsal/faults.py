"""Rehearse faults: a file missing or wrong, or a network below its gate; list the figures lost."""

import multiprocessing
import os
import re
import shutil
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import networkx
from dvc.repo import Repo
from ruamel.yaml import YAML

from rehearsal.day import drawn
from rehearsal.kept import kept
from rehearsal.publisher import Publisher
from rehearsal.workplace import Workplace
from rehearsal.world import World, apart, poorer

# Where the gate of a trained network stands, and of what number.
TRAINED = {
    "conv64f": ("conf/recipe/cub/conv64f.yaml", "accuracy"),
    "conv4net": ("conf/recipe/cub/conv4net.yaml", "accuracy"),
    "resnet50_ms": ("conf/recipe/cub_retrieval/resnet50_ms.yaml", "recall1"),
}


@dataclass(frozen=True)
class Fault:
    """A fault at a stage; `bring` causes it, and `faults` reverts it afterwards.

    fresh  paths below the workplace that do not exist on a first day
    fails  the stage that fails, if it is a later one: a network that misses its gate is fetched
    """

    what: str
    kind: str
    stage: str
    bring: Callable[[], None]
    fresh: tuple[str, ...] = ()
    fails: str | None = None


@dataclass(frozen=True)
class Came:
    """The outcome of a fault: the message of the first stage that failed, the missing figures,
    those expected to be missing, and whether there is a page."""

    what: str
    kind: str
    said: str
    missing: list[str]
    expected: list[str]
    page: bool
    seconds: float

    @property
    def as_expected(self) -> bool:
        """Whether the expected figures alone are missing, with a page and a message."""
        return self.missing == self.expected and self.page and bool(self.said)


def all_tried(place: Workplace, world: World, whole: list[str]) -> list[Came]:
    """Try every fault after a day that drew `whole`: half of them in `place`, half in a copy."""
    other = place.folder.with_name("copy")
    shutil.rmtree(other, ignore_errors=True)
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        places = enumerate((place, place.copied(other)))
        halves = [pool.submit(half, at, world, whole, first) for first, at in places]
        came = {number: one for found in halves for number, one in found.result().items()}
    return [came[number] for number in sorted(came)]


def half(place: Workplace, world: World, whole: list[str], first: int) -> dict[int, Came]:
    """Try every second fault, from number `first`; save the outcomes and return them by number."""
    came = {}
    with Publisher(world.published) as publisher:
        publisher.list(place.folder / "published.json")
        for number, fault in enumerate(faults(place, world, publisher)):
            if number % 2 == first:
                path = place.folder.with_name("came") / f"{number:02d}.json"
                told = kept(path, lambda f=fault: asdict(tried(place, f, whole)), as_expected)
                came[number] = Came(**told)
                print(came[number], flush=True)
    return came


def as_expected(told: dict[str, Any]) -> bool:
    """Whether the outcome of a fault, given as `asdict` returns it, is the expected one."""
    return Came(**told).as_expected


def faults(place: Workplace, world: World, publisher: Publisher) -> Generator[Fault]:
    """Yield every fault. The next iteration reverts it."""
    listing = place.folder / "published.json"

    def serve(name: str, path: Path | None, others: bool = False) -> None:
        if path is None:
            publisher.withdraw(name)
        else:
            publisher.publish(name, path, others)
        publisher.list(listing)

    def serve_poorer(name: str) -> None:
        path = place.folder / "poorer"
        serve(name, apart(poorer, name, world.published[name], path))

    fresh = ("data/external/weights",)
    for name in world.weights:
        pinned = any("sha256" in one for one in publisher.told[name])
        other = world.published["resnet50" if name != "resnet50" else "resnet18"]
        wrong = partial(serve, name, world.published[name] if pinned else other, pinned)
        for kind, bring, fails in (
            ("missing", partial(serve, name, None), None),
            ("wrong bytes", wrong, None),
            ("gate missed", partial(serve_poorer, name), f"verify@{name}"),
        ):
            yield Fault(name, kind, f"fetch@{name}", bring, fresh, fails)
            serve(name, world.published[name])

    def put() -> None:
        byhand = place.folder / "data/external/weights/lemniscate_resnet50.pth"
        byhand.parent.mkdir(parents=True)
        shutil.copyfile(world.vissl, byhand)

    name, kind = "resnet50_npid", "VISSL's file, which has no bank, placed by hand"
    yield Fault(name, kind, f"fetch@{name}", put, fresh)
    for name, (recipe, number) in TRAINED.items():
        recipe_text = (place.folder / recipe).read_text()
        raised = partial(place.set, recipe, f"gate.{number}", 1.0)
        yield Fault(name, "gate missed", f"verify@{name}", raised)
        (place.folder / recipe).write_text(recipe_text)
    archive = "CUB_200_2011.tgz"
    fresh = ("data/cub", "data/external/CUB_200_2011.tgz", "data/external/segmentations.tgz")
    for kind, path in (("missing", None), ("wrong bytes", world.published[archive])):
        bring = partial(serve, archive, path, path is not None)
        yield Fault("CUB-200-2011", kind, "cub@cub", bring, fresh)
        serve(archive, world.published[archive])
    yield Fault("ImageNet", "missing", "index@imagenet", lambda: None, ("data/imagenet",))


def tried(place: Workplace, fault: Fault, whole: Iterable[str]) -> Came:
    """Cause a fault, and run the day again from its stage on; restore all files afterwards."""
    expected = figures_of(place, fault.fails or fault.stage)
    with undone(place, fault.stage, fault.fresh):
        fault.bring()
        ran = place.run("make figures")
        there = drawn(place)
    missing = [name for name in whole if name not in there and name != "index.html"]
    page = "index.html" in there
    said = sentence(ran.text)
    return Came(fault.what, fault.kind, said, missing, expected, page, ran.seconds)


def sentence(text: str) -> str:
    """Return the last line that the first failed stage printed; "" if none failed."""
    failed = re.search(r"failed to reproduce '([^']+)'", text)
    if failed is None:
        return ""
    after = text.partition(f"Running stage '{failed[1]}'")[2]
    own = re.split(r"^(?:Running stage|Stage|ERROR|WARNING|make)\b", after, maxsplit=1, flags=re.M)[
        0
    ]
    lines = [line.strip() for line in own.splitlines()[1:] if line.strip()]
    said = [line for line in lines if not line.startswith(">")]
    return said[-1] if said else ""


def figures_of(place: Workplace, stage: str) -> list[str]:
    """Return the figures that depend on a stage."""
    names = from_stage(place, stage)
    return sorted(name.removeprefix("figure@") for name in names if name.startswith("figure@"))


def from_stage(place: Workplace, stage: str) -> dict[str, list[Path]]:
    """Return the outputs of `stage` and of all stages that depend on it, by the stages' names."""
    with Repo(str(place.folder)) as repo:
        graph = repo.index.graph
        start = next(node for node in graph if node.name == stage)
        return {
            node.name: [Path(out.fs_path).relative_to(place.folder) for out in node.outs]
            for node in (start, *networkx.ancestors(graph, start))
        }


@contextmanager
def undone(place: Workplace, stage: str, fresh: Iterable[str]) -> Generator[None]:
    """Remove the outputs of `stage` and all stages that depend on it; restore them afterwards."""
    stash, lock = place.folder.with_name(f"stash-{place.folder.name}"), place.folder / "dvc.lock"
    kept = lock.read_text()
    outputs = from_stage(place, stage)
    paths = {path for each in outputs.values() for path in each}
    moved = []
    for path in sorted({*map(Path, fresh), *paths}):  # a folder before what lies in it
        if os.path.lexists(place.folder / path):
            (stash / path).parent.mkdir(parents=True, exist_ok=True)
            (place.folder / path).rename(stash / path)
            moved.append(path)
    shutil.rmtree(place.folder / ".dvc" / "cache" / "runs", ignore_errors=True)
    yaml = YAML()  # that of DVC: another one writes what it cannot read
    content = yaml.load(kept)
    content["stages"] = {k: v for k, v in content["stages"].items() if k not in outputs}
    with lock.open("w") as file:
        yaml.dump(content, file)
    try:
        yield
    finally:
        for path in moved:
            remove(place.folder / path)
            (stash / path).rename(place.folder / path)
        shutil.rmtree(stash, ignore_errors=True)
        lock.write_text(kept)


def remove(path: Path) -> None:
    """Remove a file, link or folder, if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
