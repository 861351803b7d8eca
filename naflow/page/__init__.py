"""The page that shows flows, one file that any browser opens from disk.

The pipeline's report and the command line make its content; the .html, .css and .js files here show
it.
"""

import json
from importlib.resources import files
from typing import Any

from naflow import plot
from naflow.page import encoded

SCRIPTS = (
    *("elements", "view", "colour", "panels", "strip", "words", "controls", "dropped", "page"),
)
SERVED = ("served", *SCRIPTS)  # of a page whose server explains photographs
_ADVICE = (
    "A page of the disk runs no network. `naflow demo` opens one on which photographs can be "
    "dropped, and `naflow explain PHOTO --open` one of any network."
)


def html(content: dict) -> str:
    """Return the whole page as one file. It holds `content` as JSON in which no tag can begin."""
    names = SERVED if content["explains"] else SCRIPTS
    scripts = "\n".join(_part(f"{name}.js") for name in names)
    told = json.dumps(content, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    page = _part("page.html").replace("/* page.css */", _part("page.css"))
    if content["explains"]:
        page = page.replace("script-src", "connect-src 'self'; script-src")
    # The content comes last, so that nothing inside it is replaced.
    return page.replace("/* scripts */", scripts).replace("/* content */", told)


def appearance(explains: bool = False) -> dict[str, Any]:
    """Return what the content of every page needs: colours and scale, whether it explains
    photographs that are dropped on it, and the advice it shows if not."""
    return {
        "colours": encoded.colours(),
        "scale": {"finest": plot.FINEST, "top": plot.TOP},
        "explains": explains,
        "advice": _ADVICE,
    }


def _part(name: str) -> str:
    return (files("naflow.page") / name).read_text(encoding="utf-8")
