"""Every notebook runs from its first cell to its last, and shows what is committed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))
LARGEST = 1_000_000  # bytes, pictures included


def shown(notebook: dict) -> list[list[str]]:
    """Of each cell of code, what kinds of outputs it has."""
    return [
        sorted(k for output in cell["outputs"] for k in output.get("data", [output["output_type"]]))
        for cell in notebook["cells"]
        if cell["cell_type"] == "code"
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path: Path, tmp_path: Path) -> None:
    for package in ("nbclient", "ipykernel"):
        pytest.importorskip(package, reason=f"{package} is not installed: make setup")
    pytest.importorskip("skimage", reason="scikit-image brings the photographs")
    from docs.execute import executed

    fresh = executed(path, tmp_path)  # raises where a cell fails
    committed = json.loads(path.read_text())
    assert shown(committed) == shown(fresh), "make notebooks"
    assert [cell["source"] for cell in fresh.cells] == [
        "".join(cell["source"]) for cell in committed["cells"]
    ]


def test_there_are_three_and_they_are_small() -> None:
    assert len(NOTEBOOKS) == 3
    for path in NOTEBOOKS:
        assert path.stat().st_size < LARGEST, path.name
        assert sum("image/png" in kinds for kinds in shown(json.loads(path.read_text()))) > 0


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_changes_from_run_to_run_is_not_kept(path: Path) -> None:
    notebook = json.loads(path.read_text())
    assert set(notebook["metadata"]) == {"kernelspec", "language_info"}
    for cell in notebook["cells"]:
        assert not cell["metadata"]
        if cell["cell_type"] == "code":
            assert cell["execution_count"] is None
            assert all(output.get("name") != "stderr" for output in cell["outputs"])
