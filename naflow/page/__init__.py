"""One page of flows, which any browser opens from disk: of the pipeline's report and of the command
line. content.py of either says what it shows, the .html, .css and .js files here how."""

import json
from importlib.resources import files
from typing import Any

from naflow import plot
from naflow.page import encoded

SCRIPTS = (
    *("elements", "view", "colour", "panels", "strip", "words", "controls", "dropped", "page"),
)
SERVED = ("served", *SCRIPTS)  # of a page behind which a process explains photographs
_ADVICE = (
    "A page of the disk runs no network. `naflow demo` opens one on which photographs can be "
    "dropped, and `naflow explain PHOTO --open` one of any network."
)


def html(content: dict) -> str:
    """The whole page as one file. `content` stands in it as JSON in which no tag can begin."""
    names = SERVED if content["explains"] else SCRIPTS
    scripts = "\n".join(_part(f"{name}.js") for name in names)
    told = json.dumps(content, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    page = _part("page.html").replace("/* page.css */", _part("page.css"))
    if content["explains"]:
        page = page.replace("script-src", "connect-src 'self'; script-src")
    # Last, so that nothing is looked for inside the content.
    return page.replace("/* scripts */", scripts).replace("/* content */", told)


def appearance(explains: bool = False) -> dict[str, Any]:
    """What every page's content holds: its colours and scale, and whether photographs that are
    dropped on it are explained, or what is said instead."""
    return {
        "colours": encoded.colours(),
        "scale": {"finest": plot.FINEST, "top": plot.TOP},
        "explains": explains,
        "advice": _ADVICE,
    }


def _part(name: str) -> str:
    return (files("naflow.page") / name).read_text(encoding="utf-8")
