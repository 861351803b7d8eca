"""The page that draws the pipelines is what its command writes."""

from __future__ import annotations

from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_page_and_its_picture_are_up_to_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from docs import dag

    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    graph = dag.drawn()
    stages = {(file, stage) for file in dag.PIPELINES for stage in dag._stages(file)}
    assert set(graph) == stages  # a stage that no profile has would be drawn nowhere
    assert (("dvc.yaml", "figure"), ("dvc.yaml", "report")) in graph.edges
    assert (DOCS / "dag.svg").read_text() == dag.svg(graph), "python -m docs.dag"
    assert (DOCS / "dag.md").read_text() == dag.page(graph), "python -m docs.dag"
