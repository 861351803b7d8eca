"""Rehearse the day with a GPU, and write docs/rehearsal.md: make rehearsal.

    PYTHONPATH=.:tests python -m rehearsal           # the day, and every fault
    PYTHONPATH=.:tests python -m rehearsal --day     # the day alone; the page is printed

Ends with 1 where a figure of the day is not drawn, the layouts of ImageNet do not agree, or a
fault cost other figures than those that follow from it.
"""

import sys
import tempfile
import time
from pathlib import Path

from rehearsal import page, world
from rehearsal.day import drawn, layouts_agree, lived
from rehearsal.faults import Came, faults, tried
from rehearsal.publisher import Publisher
from rehearsal.workplace import ROOT, Workplace

PAGE = ROOT / "docs" / "rehearsal.md"


def main() -> None:
    """Rehearse."""
    alone = "--day" in sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="rehearsal-") as folder:
        told, good = rehearsed(Path(folder), alone)
    if alone:
        print(told)
    else:
        PAGE.write_text(told)
    sys.exit(0 if good else 1)


def rehearsed(folder: Path, alone: bool) -> tuple[str, bool]:
    """The page, and whether all is as it should be."""
    start = time.monotonic()
    made = world.made(folder)
    took, place = time.monotonic() - start, Workplace(folder / "place")
    with Publisher(made.published) as publisher:
        publisher.list(place.folder / "published.json")
        day = lived(place, made)
        for ran in day.ran:
            print(f"{ran.seconds:6.0f} s  {ran.command}: {ran.code}", flush=True)
            if ran.code:
                print(ran.text[-5000:])
        layouts = layouts_agree(place, made)
        good = all(layouts.values()) and not any(ran.code for ran in day.ran)
        came: list[Came] = []
        for fault in () if alone or not good else faults(place, made, publisher):
            came.append(tried(place, fault, drawn(place)))
            print(f"{came[-1].seconds:6.0f} s  {page.row(came[-1])} {came[-1].said}", flush=True)
    good = good and all(one.as_expected for one in came)
    return page.text(day, layouts, came, took, made.pictures), good


if __name__ == "__main__":
    main()
