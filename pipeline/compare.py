"""Compare the numbers of two folders of JSON files, up to tolerances.

    python -m pipeline.compare committed/figures figures
    python -m pipeline.compare OLD NEW --markdown --tolerances FILE

Compares all files *.json of both folders, value by value. Prints the outcome of the figures' claims
and every value that differs by more than its tolerance (with --all, every value that differs). A
path is file/key/key, with numbers for items of lists. Exit codes: 0: all within tolerance; 1: some
beyond; 2: nothing to compare.
"""

import argparse
import json
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from naflow.errors import BadInput
from naflow.table import aligned
from pipeline import markdown
from pipeline.atomic import read_json

TOLERANCES = Path(__file__).resolve().parents[1] / ".ci" / "tolerances.yaml"


@dataclass
class Kind:
    """Values with the same tolerance: `absolute`, or `relative` times the old value.

    paths     patterns for their paths, as for file names
    compared  False if they may differ in any way
    """

    kind: str
    paths: list[str]
    absolute: float = 0.0
    relative: float = 0.0
    compared: bool = True

    def allowed(self, old: float) -> float:
        """Return how far from `old` a number may be."""
        return max(self.absolute, self.relative * abs(old))


@dataclass(frozen=True)
class Difference:
    """A value that differs.

    apart, allowed  the difference and its tolerance; for values that are no numbers, `apart` says
                    what happened
    beyond          whether it exceeds the tolerance
    """

    path: str
    old: str
    new: str
    apart: str
    allowed: str = ""
    beyond: bool = True


@dataclass(frozen=True)
class Missing:
    """Stands for a key or file that one side does not have."""


def main(argv: Sequence[str] | None = None) -> int:
    """Compare two folders as the command line says; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.compare", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("old", type=Path, help="the folder whose numbers are expected")
    parser.add_argument("new", type=Path, help="the folder that is judged")
    parser.add_argument("--markdown", action="store_true", help="tables as Markdown")
    parser.add_argument("--all", action="store_true", help="also what differs within tolerance")
    parser.add_argument("--tolerances", type=Path, default=TOLERANCES, help="a YAML file")
    options = parser.parse_args(argv)
    try:
        kinds = tolerances(options.tolerances)
        old, new = contents(options.old), contents(options.new)
    except BadInput as error:
        sys.stderr.write(f"{error}\n")
        return 2
    differing = list(differences("", old, new, kinds))
    beyond = [one for one in differing if one.beyond]
    table = _markdown if options.markdown else aligned
    tables = (_claims(old, new), _rows(differing if options.all else beyond))
    within = len(differing) - len(beyond)
    count = f"{within} values differ within tolerance, {len(beyond)} beyond it."
    sys.stdout.write("\n\n".join([*(table(rows) for rows in tables if rows), count]) + "\n")
    return 1 if beyond else 0


def tolerances(path: Path) -> list[Kind]:
    """Read the kinds of a file, in its order. Raises BadInput if it is no list of tolerances."""
    try:
        entries = OmegaConf.load(path)
        return [OmegaConf.to_object(OmegaConf.merge(Kind, entry)) for entry in entries]  # ty: ignore
    except (OSError, YAMLError, OmegaConfBaseException, ValueError, TypeError) as error:
        raise BadInput(f"{path}: no list of tolerances ({str(error).splitlines()[0]}).") from None


def contents(folder: Path) -> dict[str, Any]:
    """Read the JSON files of a folder: path without suffix -> content.

    Raises BadInput if there is none, or one cannot be read.
    """
    found = {}
    for path in sorted(folder.rglob("*.json")):
        try:
            found[path.relative_to(folder).with_suffix("").as_posix()] = read_json(path)
        except ValueError as error:
            raise BadInput(f"{path}: not JSON ({error}).") from None
    if not found:
        raise BadInput(f"{folder}: no JSON file is there, so there is nothing to compare.")
    return found


def differences(path: str, old: Any, new: Any, kinds: Sequence[Kind]) -> Iterator[Difference]:
    """Yield every difference between two JSON values."""
    if isinstance(old, list) and isinstance(new, list):
        old, new = dict(enumerate(old)), dict(enumerate(new))
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            values = (side.get(key, Missing()) for side in (old, new))
            yield from differences(f"{path}/{key}" if path else str(key), *values, kinds)
    elif repr(old) != repr(new):  # NaN equals NaN, 1 does not equal true
        kind = next((k for k in kinds if any(fnmatchcase(path, p) for p in k.paths)), Kind("", []))
        if kind.compared:
            yield _difference(path, old, new, kind)


def _difference(path: str, old: Any, new: Any, kind: Kind) -> Difference:
    if isinstance(old, Missing) or isinstance(new, Missing):
        return Difference(path, _said(old), _said(new), "missing" if old != Missing() else "added")
    if not all(type(value) in (int, float) for value in (old, new)):
        flipped = isinstance(old, bool) and isinstance(new, bool)
        return Difference(path, _said(old), _said(new), "flipped" if flipped else "changed")
    apart, allowed = abs(new - old), kind.allowed(old)
    within = math.isfinite(apart) and apart <= allowed
    numbers = (f"{value:.6g}" for value in (old, new, apart, allowed))
    return Difference(path, *numbers, beyond=not within)


def _said(value: Any) -> str:
    """Return a value as text for a cell, shortened if it is long."""
    if isinstance(value, Missing):
        return ""
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _rows(found: Sequence[Difference]) -> list[list[str]]:
    rows = [[one.path, one.old, one.new, one.apart, one.allowed] for one in found]
    return [["value", "old", "new", "difference", "allowed"], *rows] if rows else []


def _claims(old: dict[str, Any], new: dict[str, Any]) -> list[list[str]]:
    """Return one row per claim of the new figures: whether it held, whether it holds now, and the
    numbers that decide."""
    rows = []
    words = {True: "holds", False: "does not hold", None: "not checked"}
    for figure, content in new.items():
        before = {one["claim"]: one["holds"] for one in _list(old.get(figure))}
        for one in _list(content):
            held = words[before[one["claim"]]] if one["claim"] in before else "not there"
            rows.append([figure, one["claim"], held, words[one["holds"]], one["told"]])
    return [["figure", "claim", "old", "new", "what decided"], *rows] if rows else []


def _list(content: Any) -> list[dict[str, Any]]:
    return content.get("claims", []) if isinstance(content, dict) else []


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    return markdown.table(rows[0], rows[1:]).rstrip("\n")


if __name__ == "__main__":
    sys.exit(main())
