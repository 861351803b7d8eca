"""Draw which pipeline makes what: docs/dag.md and docs/dag.svg.

    python -m docs.dag

DVC tells which stage waits for which, under each profile. Stages that differ in a network or a
figure alone are drawn as one, and an arrow that follows from two others is left out.
"""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.sax.saxutils import escape

import networkx as nx
import yaml

ROOT = Path(__file__).resolve().parents[1]
PIPELINES = {
    "dvc.yaml": "`dvc repro`: the figures, and the page of all flows",
    "figures/dvc.yaml": "`dvc repro figures/dvc.yaml`: every method on one page, and segmentation",
    "docs/method-study/dvc.yaml": "`dvc repro docs/method-study/dvc.yaml`: which method tells more",
}
EACH = {
    "scenes": "set of pictures",
    "downloads": "set of pictures",
    "placed": "set of pictures",
    "gathered": "set of pictures",
    "published": "network",
    "trained": "network",
    "verified": "network",
    "drawn": "figure",
    "absent": "figure",
}
COLOURS = ("#fbe9e7", "#e3f2fd", "#e8f5e9")  # of the pipelines
WIDE, TALL, ACROSS, DOWN, MARGIN = 108, 30, 146, 46, 16  # pixels


def main() -> None:
    """Write both files."""
    graph = drawn()
    (ROOT / "docs" / "dag.svg").write_text(svg(graph))
    (ROOT / "docs" / "dag.md").write_text(page(graph))


def drawn() -> nx.DiGraph:
    """The stages (file, stage) of all pipelines, each with the `profiles` that it belongs to."""
    whole = nx.DiGraph()
    for profile in sorted((ROOT / "conf" / "profile").glob("*.yaml")):
        for line in _dag(profile).splitlines():
            ends = [_stage(name) for name in re.findall(r'"([^"]+)"', line)]
            for node in ends:
                whole.add_node(node)
                whole.nodes[node].setdefault("profiles", set()).add(profile.stem)
            if len(set(ends)) == 2:
                whole.add_edge(*ends)
    reduced = nx.transitive_reduction(whole)
    reduced.add_nodes_from(whole.nodes(data=True))
    return reduced


def _dag(profile: Path) -> str:
    """What `dvc dag --dot` prints of the pipelines under a profile."""
    with TemporaryDirectory() as made:
        folder = Path(made)
        for name in PIPELINES:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
        shutil.copytree(ROOT / "conf", folder / "conf")
        shutil.copy(profile, folder / "params.yaml")
        dvc = [sys.executable, "-m", "dvc"]
        subprocess.run([*dvc, "init", "--no-scm", "--quiet"], cwd=folder, check=True)
        done = subprocess.run(
            [*dvc, "dag", "--dot"], cwd=folder, check=True, capture_output=True, text=True
        )
        return done.stdout


def _stage(name: str) -> tuple[str, str]:
    """(file, stage) of a name such as figures/dvc.yaml:montage or train@resnet18."""
    file, _, stage = name.rpartition(":")
    return file or "dvc.yaml", stage.split("@")[0]


def svg(graph: nx.DiGraph) -> str:
    """The stages from left to right, a band for each pipeline."""
    places, bands, height = _places(graph)
    width = MARGIN * 2 + max(x for x, _ in places.values()) + WIDE
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="sans-serif" font-size="13">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for (file, (top, bottom)), colour in zip(bands.items(), COLOURS, strict=True):
        lines += [
            f'<rect x="4" y="{top}" width="{width - 8}" height="{bottom - top}" rx="6" '
            f'fill="{colour}"/>',
            f'<text x="{MARGIN}" y="{top + 18}" fill="#555">{escape(file)}</text>',
        ]
    for start, end in sorted(graph.edges):
        (a, b), (c, d) = places[start], places[end]
        b, d = b + TALL // 2, d + TALL // 2
        gap = c - (ACROSS - WIDE)  # between the columns: only there a line bends
        half = (gap + c) // 2
        lines += [
            f'<path d="M{a + WIDE} {b} H{gap} C{half} {b} {half} {d} {c - 6} {d}" fill="none" '
            f'stroke="#777"/>',
            f'<path d="M{c} {d} l-7 -4 v8 z" fill="#777"/>',
        ]
    for node, (x, y) in sorted(places.items()):
        dashes = "none" if "embedded" in graph.nodes[node]["profiles"] else "4 3"
        lines += [
            f'<rect x="{x}" y="{y}" width="{WIDE}" height="{TALL}" rx="4" fill="white" '
            f'stroke="#444" stroke-dasharray="{dashes}"/>',
            f'<text x="{x + WIDE // 2}" y="{y + 20}" text-anchor="middle">{node[1]}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])


def _places(graph: nx.DiGraph) -> tuple[dict, dict, int]:
    """Where each stage's box begins, from where to where each pipeline's band goes, the height."""
    column = {node: at for at, row in enumerate(nx.topological_generations(graph)) for node in row}
    places, bands, top = {}, {}, 4
    for file in PIPELINES:
        rows: dict[tuple[str, str], int] = {}
        free = [0] * (max(column.values()) + 1)  # the first free row of each column
        for node in sorted((n for n in graph if n[0] == file), key=lambda n: (column[n], n)):
            before = [rows[one] for one in graph.predecessors(node) if one in rows]
            rows[node] = max(free[column[node]], min(before, default=0))
            free[column[node]] = rows[node] + 1
            places[node] = (MARGIN + column[node] * ACROSS, top + 28 + rows[node] * DOWN)
        bottom = top + 28 + max(free) * DOWN
        bands[file] = (top, bottom)
        top = bottom + 6
    return places, bands, top


def _stages(file: str) -> dict[str, dict]:
    return yaml.safe_load((ROOT / file).read_text())["stages"]


def page(graph: nx.DiGraph) -> str:
    """The picture, and for each pipeline a table of what its stages make."""
    parts = [
        "# Which pipeline makes what",
        "![The stages of three pipelines, an arrow to each from those that it waits for](dag.svg)",
        "An arrow leads from a stage to one that waits for it. Dashed stages belong to the\n"
        "profiles `paper` and `photographs` alone: they fetch or find what the profile `embedded`\n"
        "makes, or say what they lack.",
    ]
    for file, what in PIPELINES.items():
        rows = ["| stage | one for each | what it does | what it makes |", "|---|---|---|---|"]
        for stage, told in _stages(file).items():
            body = told.get("do", told)
            cells = (f"`{stage}`", _each(told), _what(body["cmd"]), _outs(body))
            rows.append(f"| {' | '.join(cells)} |")
        parts += [f"## {what}", f"`{file}`", "\n".join(rows)]
    parts.append("`python -m docs.dag` writes this page and its picture.")
    return "\n\n".join(parts) + "\n"


def _each(stage: dict) -> str:
    """What there is one such stage for each of."""
    each = stage.get("foreach", "")
    if isinstance(each, str):
        return EACH[each.strip("${}")] if each else ""
    return ", ".join(each)


def _what(command: str | list[str]) -> str:
    """The first sentence of the program's docstring: of the last program, if there are several."""
    last = command if isinstance(command, str) else command[-1]
    program = re.search(r"python (?:-m )?([\w./${}-]+)", last)
    assert program
    file = program[1].replace("${item}", "cub").removesuffix(".py").replace(".", "/")
    first = (ast.get_docstring(ast.parse((ROOT / f"{file}.py").read_text())) or "").split("\n")[0]
    what = first.partition(": ")[2] or first[:1].lower() + first[1:]
    return what.rstrip(".")


def _outs(stage: dict) -> str:
    """Its files by folder, with a star for the name of a network, a picture set or a figure."""
    outs = [*stage.get("outs", []), *stage.get("metrics", []), *stage.get("plots", [])]
    folders: dict[str, list[str]] = {}
    for one in outs:
        path = one if isinstance(one, str) else next(iter(one))
        path = re.sub(r"[$][{][^}]*[}]", "*", path.replace("${drawings}", "figures"))
        folder, _, name = path.rpartition("/")
        folders.setdefault(folder, []).append(name)
    return "<br>".join(f"`{folder}/` {', '.join(names)}" for folder, names in folders.items())


if __name__ == "__main__":
    main()
