"""The page of the report: content.py says what it shows, the .html, .css and .js files how."""

import json
from importlib.resources import files

SCRIPTS = ("elements", "view", "colour", "panels", "strip", "words", "controls", "page")


def html(content: dict) -> str:
    """The whole page as one file. `content` stands in it as JSON in which no tag can begin."""
    scripts = "\n".join(_part(f"{name}.js") for name in SCRIPTS)
    told = json.dumps(content, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    page = _part("page.html").replace("/* page.css */", _part("page.css"))
    # Last, so that nothing is looked for inside the content.
    return page.replace("/* scripts */", scripts).replace("/* content */", told)


def _part(name: str) -> str:
    return (files("pipeline.report_page") / name).read_text(encoding="utf-8")
