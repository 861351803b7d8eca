"""Days on which something is missing, wrong, or worse than its gate: what is drawn all the same."""

import os
import shutil
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import networkx
from dvc.repo import Repo
from ruamel.yaml import YAML

from rehearsal.day import drawn
from rehearsal.publisher import Publisher
from rehearsal.workplace import Workplace
from rehearsal.world import World, poorer

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

    fault: Fault
    said: str
    missing: list[str]
    expected: list[str]
    page: bool
    seconds: float

    @property
    def as_expected(self) -> bool:
        """Whether what follows from the stage is missing, nothing else, and it was said."""
        return self.missing == self.expected and self.page and bool(self.said)


def faults(place: Workplace, world: World, publisher: Publisher) -> Generator[Fault]:
    """Every fault; each is in force from when it is brought to when the next one is asked for."""
    published, folder = publisher.list, world.folder / "weights"
    listing = place.folder / "published.json"

    def serve(name: str, path: Path | None, others: bool = False) -> Callable[[], None]:
        def bring() -> None:
            if path is None:
                publisher.withdraw(name)
            else:
                publisher.publish(name, path, others)
            published(listing)

        return bring

    networks = [name for name in world.published if not name.endswith(".tgz")]
    for name in networks:
        pinned = any("sha256" in one for one in publisher.told[name])
        other = world.published["resnet50" if name != "resnet50" else "resnet18"]
        worse = poorer(name, world.published[name], folder / "poorer")
        for kind, bring in (
            ("missing", serve(name, None)),
            ("wrong bytes", serve(name, world.published[name] if pinned else other, pinned)),
            ("gate missed", serve(name, worse)),
        ):
            yield Fault(name, kind, f"fetch@{name}", bring, ("data/external/weights",))
            serve(name, world.published[name])()
    if world.vissl is not None:
        byhand = place.folder / "data/external/weights/lemniscate_resnet50.pth"

        def put() -> None:
            byhand.parent.mkdir(parents=True)
            shutil.copyfile(world.vissl, byhand)  # ty: ignore[invalid-argument-type]

        name = "resnet50_npid"
        put_there = "VISSL's file, which has no bank, placed by hand"
        yield Fault(name, put_there, f"fetch@{name}", put, ("data/external/weights",))
    for name, (recipe, number) in TRAINED.items():
        kept = (place.folder / recipe).read_text()
        raised = partial(place.set, recipe, f"gate.{number}", 1.01)
        yield Fault(name, "gate missed", f"verify@{name}", raised)
        (place.folder / recipe).write_text(kept)
    archive = "CUB_200_2011.tgz"
    fresh = ("data/cub", "data/external/CUB_200_2011.tgz", "data/external/segmentations.tgz")
    for kind, path in (("missing", None), ("wrong bytes", world.published[archive])):
        yield Fault("CUB-200-2011", kind, "cub@cub", serve(archive, path, path is not None), fresh)
        serve(archive, world.published[archive])()
    yield Fault("ImageNet", "missing", "index@imagenet", lambda: None, ("data/imagenet",))


def tried(place: Workplace, fault: Fault, whole: Iterable[str]) -> Came:
    """Have the day again from the fault's stage on, as if it had never been; all is put back."""
    with undone(place, fault.stage, fault.fresh) as expected:
        fault.bring()
        ran = place.run("make figures")
        there = drawn(place)
    missing = [name for name in whole if name not in there and name != "index.html"]
    page = "index.html" in there
    return Came(fault, sentence(ran.text), missing, expected, page, ran.seconds)


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
    stash, lock = place.folder.with_name("stash"), place.folder / "dvc.lock"
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
