"""JSON files, read and written; what is whole or absent is tested in naflow/test_atomic.py."""

import ast
from pathlib import Path

import pytest

import pipeline
from naflow.errors import BadInput
from pipeline.atomic import read_json, write_json
from pipeline.explanations import cases
from pipeline.explanations.job import Job
from pipeline.measure import is_done

DEEP = "[" * 100_000


@pytest.mark.parametrize("content", ["", "{", DEEP, '{"a": ' * 100_000, "\0", "9" * 5000])
def test_what_is_no_json_is_one_kind_of_error(content, tmp_path):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(ValueError):  # noqa: PT011, of json, of text and of depth
        read_json(tmp_path / "a.json")


def test_what_is_written_is_read(tmp_path):
    content = {"a": [1, 2.5, None, "é"]}
    write_json(tmp_path / "a.json", content)
    assert read_json(tmp_path / "a.json") == content


def test_a_damaged_one_is_told_or_made_again(tmp_path):
    for name in ("job.json", "cases.json", "table.json"):
        (tmp_path / name).write_text(DEEP)
    with pytest.raises(BadInput, match=r"job\.json is missing or damaged"):
        Job.of(tmp_path)
    with pytest.raises(BadInput, match=r"cases\.json is no list of cases"):
        cases.read(tmp_path / "cases.json")
    assert not is_done(tmp_path / "table.csv", {})


def test_every_json_file_is_read_so_that_depth_is_no_crash():
    """Who reads JSON otherwise says itself what comes of RecursionError."""
    found = 0
    for file in sorted(Path(pipeline.__file__).parent.rglob("*.py")):
        text = file.read_text()
        calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
        reads = [one for one in calls if ast.unparse(one.func) == "json.loads"]
        found += len(reads)
        assert not reads or "RecursionError" in text, file
    assert found
