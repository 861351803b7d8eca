"""Rehearse the day with a GPU, and write docs/rehearsal.md and conf/rehearsed.json: make rehearsal.

    PYTHONPATH=.:tests python -m rehearsal               # the day, and every fault
    PYTHONPATH=.:tests python -m rehearsal --day         # the day alone; prints the page
    PYTHONPATH=.:tests python -m rehearsal --in FOLDER   # keeps all files there, and resumes

Exits with 1 if a command of the day fails, the layouts of ImageNet do not agree, or a fault costs
other figures than those that depend on it.
"""

import argparse
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from pipeline.atomic import write_json
from pipeline.forecast import REHEARSED
from rehearsal import page, world
from rehearsal.day import Day, lived
from rehearsal.faults import all_tried
from rehearsal.kept import kept
from rehearsal.workplace import ROOT, SIDE, Workplace

PAGE = ROOT / "docs" / "rehearsal.md"


def main() -> None:
    """Rehearse, and write the page or print it."""
    parser = argparse.ArgumentParser(prog="rehearsal", description=__doc__.splitlines()[0])
    parser.add_argument("--day", action="store_true", help="without the faults")
    parser.add_argument("--in", dest="folder", type=Path, help="where all is kept")
    options = parser.parse_args()
    if options.folder:
        day, told, good = rehearsed(options.folder.resolve(), options.day)
    else:
        with tempfile.TemporaryDirectory(prefix="rehearsal-") as folder:
            day, told, good = rehearsed(Path(folder), options.day)
    if options.day:
        print(told)
    else:
        PAGE.write_text(told)
        write_json(REHEARSED, {name: round(core, 1) for name, (_, core) in day.stages.items()})
    sys.exit(0 if good else 1)


def rehearsed(folder: Path, alone: bool) -> tuple[Day, str, bool]:
    """Return the day, the page, and whether all is as expected."""
    took = kept(folder / "world.json", lambda: world.apart(world.anew, folder / "world", SIDE))
    made, place = world.World(folder / "world"), Workplace(folder / "place")
    day = Day.of(kept(folder / "day.json", lambda: asdict(lived(place, made)), well))
    came = [] if alone or not day.well else all_tried(place, made, day.figures)
    good = day.well and all(one.as_expected for one in came)
    return day, page.text(day, came, took, made.pictures), good


def well(told: dict) -> bool:
    """Whether nothing failed on a day, given as `asdict` returns it."""
    return Day.of(told).well


if __name__ == "__main__":
    main()
