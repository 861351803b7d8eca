"""Explain every model of the table and write docs/reach.md.

    python -m bench.zoo                          all models
    python -m bench.zoo timm:.*net smp           only models whose names match; the page stays
    python -m bench.zoo --rows rows.jsonl        rows that are in the file are not measured again
    python -m bench.zoo --rows rows.jsonl --draw write the page of the rows in the file

A package that is not installed is skipped with one line. Packages outside the environment:
    uv pip install --target DIR --no-deps transformers ...; PYTHONPATH=DIR python -m bench.zoo
"""

from __future__ import annotations

import argparse
import json
import re
import time
import warnings
from dataclasses import asdict
from pathlib import Path

import torch

from bench.zoo.models import entries
from bench.zoo.page import page, problems
from bench.zoo.row import Row, measured


def main() -> None:
    """Measure, print one line per model, and write the page."""
    options = _options()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")  # of the models' own code
    known = _read(options.rows)
    rows, skipped = [], []
    for entry in entries():
        if isinstance(entry, str):
            print(entry)
            skipped.append(entry)
            continue
        if not _wanted(entry.name, options.models):
            continue
        start = time.perf_counter()
        if options.draw and entry.name not in known:
            skipped.append(f"{entry.name}: not measured")
            continue
        row = known.get(entry.name) or measured(entry, options.batch, options.limit)
        row.kind = entry.kind
        rows.append(row)
        if entry.name not in known and options.rows:
            with options.rows.open("a") as file:
                file.write(json.dumps(asdict(row)) + "\n")
        print(_line(row, time.perf_counter() - start), flush=True)
    if not options.models:
        options.page.write_text(page(rows, skipped, "python -m bench.zoo", options.batch))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Explain every model that naflow should explain.")
    parser.add_argument("models", nargs="*", help="patterns of names; none: all, and the page")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--limit", type=int, default=180, help="seconds for one model")
    parser.add_argument("--rows", type=Path, help="a file that stores the rows measured")
    parser.add_argument("--draw", action="store_true", help="measure nothing")
    parser.add_argument("--page", type=Path, default=Path("docs/reach.md"))
    return parser.parse_args()


def _wanted(name: str, patterns: list[str]) -> bool:
    return not patterns or any(re.search(p, name.replace(": ", ":")) for p in patterns)


def _read(file: Path | None) -> dict[str, Row]:
    if file is None or not file.exists():
        return {}
    rows = [Row(**json.loads(line)) for line in file.read_text().splitlines()]
    return {row.name: row for row in rows}


def _line(row: Row, seconds: float) -> str:
    cost = " ".join(f"{m} {a:.1f}/{b:.1f}" for m, (a, b) in row.cost.items())
    error = "none" if row.error is None else f"{row.error:.0e}"
    kept = "none" if row.conservation is None else "{:.0e}/{:.0e}".format(*row.conservation)
    refused = "; ".join(f"{m} refused: {t}" for m, t in row.said.items())
    wrong = "; ".join(f"WRONG {problem}" for problem in problems(row))
    return (
        f"{seconds:5.1f} s {row.name:<40} {row.maps} maps, {cost}, hooks {error} "
        f"({row.compared}), LRP {kept} {refused} {wrong}"
    )


if __name__ == "__main__":
    main()
