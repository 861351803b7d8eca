"""No two rooms of the pipeline import each other, not even through a third (ARCHITECTURE.md)."""

import re
from graphlib import TopologicalSorter
from pathlib import Path

import pipeline

ROOT = Path(str(pipeline.__file__)).parent
IMPORT = re.compile(r"^\s*from pipeline\.(\w+)|^\s*from pipeline import (.+)$", re.MULTILINE)


def imported(room):
    """The other rooms that a room's files import."""
    rooms = {path.name for path in ROOT.iterdir() if path.is_dir()} - {room}
    found = set()
    for file in (ROOT / room).rglob("*.py"):
        for one, several in IMPORT.findall(file.read_text()):
            found |= {one, *several.replace(" ", "").split(",")}
    return found & rooms


def test_rooms_have_an_order():
    rooms = [path.parent.name for path in ROOT.glob("*/__init__.py")]
    assert {"claims", "figures", "explanations"} <= set(rooms)
    order = list(TopologicalSorter({room: imported(room) for room in rooms}).static_order())
    assert order.index("explanations") < order.index("claims") < order.index("figures")
