"""The day: run the commands of docs/paper.md, in order and unchanged."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from rehearsal.publisher import Publisher
from rehearsal.workplace import ROOT, Ran, Workplace
from rehearsal.world import World

PAGE = ROOT / "docs" / "paper.md"
BLOCK = re.compile(r"^<!-- rehearsed -->\n```sh\n(.*?)^```$", re.S | re.M)
LIES = "/where/imagenet/lies"
LAYOUTS_NOTE = "The same pictures, classes and boxes were found in the layouts"


@dataclass(frozen=True)
class Day:
    """The result: the commands that ran, the figures drawn, and layout of ImageNet -> whether its
    index is that of the first layout."""

    ran: list[Ran]
    figures: list[str]
    layouts: dict[str, bool]

    @classmethod
    def of(cls, told: dict[str, Any]) -> "Day":
        """Return the day that `asdict` turned into a dict."""
        return cls([Ran(**one) for one in told["ran"]], told["figures"], told["layouts"])

    @property
    def well(self) -> bool:
        """Whether nothing failed."""
        return all(self.layouts.values()) and not any(one.code for one in self.ran)

    @property
    def stages(self) -> dict[str, tuple[float, float]]:
        """Stage -> its seconds and CPU seconds, in the order of their first run."""
        return {name: t for ran in self.ran for name, t in ran.stages.items()}


def commands() -> list[str]:
    """Return the commands of the page's blocks marked "rehearsed"."""
    blocks = BLOCK.findall(PAGE.read_text())
    lines = [line.partition("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line]


def lived(place: Workplace, world: World) -> Day:
    """Run the page's commands, until one fails."""
    ran = []
    (place.folder / "data" / "imagenet").unlink(missing_ok=True)  # of a day that was broken off
    with Publisher(world.published) as publisher:
        publisher.list(place.folder / "published.json")
        for command in commands():
            done = place.run(command.replace(LIES, str(world.imagenet["archives"])))
            ran.append(replace(done, command=command))
            print(f"{ran[-1].seconds:6.0f} s  {command}: {ran[-1].code}", flush=True)
            if ran[-1].code:
                print(ran[-1].text[-5000:], flush=True)
                break
    return Day(ran, drawn(place), layouts_agree(place, world))


def drawn(place: Workplace) -> list[str]:
    """Return the names of the figures drawn, and "index.html" if there is a page."""
    folder = place.folder / "results" / "figures"
    found = sorted(path.stem for path in folder.glob("fig*.png"))
    return found + [name for name in ("index.html",) if (folder / name).is_file()]


def layouts_agree(place: Workplace, world: World) -> dict[str, bool]:
    """Return layout -> whether the index of its folder is that of the first, except for paths."""
    indices = {}
    for name, root in world.imagenet.items():
        file = place.folder / "outputs" / f"{root.name}.csv"
        place.run(f"python -m pipeline.index images=imagenet index.file={file}", IMAGENET=str(root))
        indices[name] = table(file)
    first = next(iter(indices.values()))
    return {name: first is not None and first.equals(one) for name, one in indices.items()}


def table(path: Path) -> pd.DataFrame | None:
    """Return an index without its column of paths, which depends on the layout; None if missing."""
    if not path.is_file():
        return None
    return pd.read_csv(path, dtype=str).drop(columns=["image"])
