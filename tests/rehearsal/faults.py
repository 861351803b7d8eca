"""Days on which something is missing, wrong, or worse than its gate: what is drawn all the same."""

import multiprocessing
import os
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
    """Something that goes wrong at a stage: `bring` lets it, and what it needs is put back later.

    fresh  files that a first day has not, below the workplace
    """

    what: str
    kind: str
    stage: str
    bring: Callable[[], None]
    fresh: tuple[str, ...] = ()


@dataclass(frozen=True)
class Came:
    """What came of a fault: what the first stage that failed said, the figures that are missing and
    those that had to be, and whether there is a page."""

    what: str
    kind: str
    said: str
    missing: list[str]
    expected: list[str]
    page: bool
    seconds: float

    @property
    def as_expected(self) -> bool:
        """Whether what follows from the stage is missing, nothing else, and it was said."""
        return self.missing == self.expected and self.page and bool(self.said)


def all_tried(place: Workplace, world: World, whole: list[str]) -> list[Came]:
    """Try every fault after a day whose figures are `whole`: half of them here, half in a copy."""
    other = place.folder.with_name("copy")
    shutil.rmtree(other, ignore_errors=True)
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        places = enumerate((place, place.copied(other)))
        halves = [pool.submit(half, at, world, whole, first) for first, at in places]
        came = {number: one for found in halves for number, one in found.result().items()}
    return [came[number] for number in sorted(came)]


def half(place: Workplace, world: World, whole: list[str], first: int) -> dict[int, Came]:
    """Try every second fault, and keep what came of it; by its number."""
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
    """Whether what came of a fault is what had to."""
    return Came(**told).as_expected


def faults(place: Workplace, world: World, publisher: Publisher) -> Generator[Fault]:
    """Every fault; each is in force from when it is brought to when the next one is asked for."""
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
        for kind, bring in (
            ("missing", partial(serve, name, None)),
            ("wrong bytes", wrong),
            ("gate missed", partial(serve_poorer, name)),
        ):
            yield Fault(name, kind, f"fetch@{name}", bring, fresh)
            serve(name, world.published[name])

    def put() -> None:
        byhand = place.folder / "data/external/weights/lemniscate_resnet50.pth"
        byhand.parent.mkdir(parents=True)
        shutil.copyfile(world.vissl, byhand)

    name, kind = "resnet50_npid", "VISSL's file, which has no bank, placed by hand"
    yield Fault(name, kind, f"fetch@{name}", put, fresh)
    for name, (recipe, number) in TRAINED.items():
        recipe_text = (place.folder / recipe).read_text()
        raised = partial(place.set, recipe, f"gate.{number}", 1.01)
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
    """Have the day again from the fault's stage on, as if it had never been; all is put back."""
    with undone(place, fault.stage, fault.fresh) as expected:
        fault.bring()
        ran = place.run("make figures")
        there = drawn(place)
    missing = [name for name in whole if name not in there and name != "index.html"]
    page = "index.html" in there
    said = sentence(ran.text)
    return Came(fault.what, fault.kind, said, missing, expected, page, ran.seconds)


def sentence(text: str) -> str:
    """What the first stage that failed said: the line before DVC's own."""
    before = ""
    for line in text.splitlines():
        if line.startswith("ERROR: failed to reproduce"):
            return before
        if line.strip() and not line.startswith(("ERROR", "WARNING", "Running", "> ")):
            before = line.strip()
    return ""


@contextmanager
def undone(place: Workplace, stage: str, fresh: Iterable[str]) -> Generator[list[str]]:
    """The workplace as it was before `stage` and all that follows from it; as it is, afterwards.

    Gives the figures that follow from it.
    """
    stash, lock = place.folder.with_name(f"stash-{place.folder.name}"), place.folder / "dvc.lock"
    kept = lock.read_text()
    with Repo(str(place.folder)) as repo:
        graph = repo.index.graph
        start = next(node for node in graph if node.name == stage)
        after = {start, *networkx.ancestors(graph, start)}
        names = {node.name for node in after}
        paths = {Path(out.fs_path).relative_to(place.folder) for node in after for out in node.outs}
    moved = []
    for path in sorted({*map(Path, fresh), *paths}):  # a folder before what lies in it
        if os.path.lexists(place.folder / path):
            (stash / path).parent.mkdir(parents=True, exist_ok=True)
            (place.folder / path).rename(stash / path)
            moved.append(path)
    shutil.rmtree(place.folder / ".dvc" / "cache" / "runs", ignore_errors=True)
    yaml = YAML()
    content = yaml.load(kept)
    content["stages"] = {k: v for k, v in content["stages"].items() if k not in names}
    with lock.open("w") as file:
        yaml.dump(content, file)
    try:
        yield sorted(name.removeprefix("figure@") for name in names if name.startswith("figure@"))
    finally:
        for path in moved:
            remove(place.folder / path)
            (stash / path).rename(place.folder / path)
        shutil.rmtree(stash, ignore_errors=True)
        lock.write_text(kept)


def remove(path: Path) -> None:
    """Remove whatever is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
