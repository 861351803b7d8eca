"""Opening files: nothing but data comes out, and the code keeps to that."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import naflow
from naflow import BadInput
from naflow.models import checkpoint


class Evil:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("inside", ["entry", "object array", "module"])
def test_code_is_refused_and_named(zipped: bool, inside: str, tmp_path: Path) -> None:
    mark, path = tmp_path / "mark", tmp_path / "w.pth"
    content = {
        "entry": Evil(mark),
        "object array": np.array([Evil(mark)], dtype=object),
        "module": nn.Linear(2, 2),
    }[inside]
    torch.save({"state_dict": {}, "x": content}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(BadInput, match="holds more than tensors and was not read"):
        checkpoint.load(path)
    assert not mark.exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_arrays_and_numpy_numbers_come_out(zipped: bool, tmp_path: Path) -> None:
    content = {"a": np.arange(6.0).reshape(2, 3), "best": np.float64(0.5), "n": np.int64(3)}
    path = tmp_path / "w.pth"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    found = checkpoint.load(path)
    assert isinstance(found, dict)
    assert np.array_equal(found["a"], content["a"]) and found["best"] == 0.5 and found["n"] == 3


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    tied = torch.zeros(2)
    with pytest.raises(RuntimeError, match="share"):
        checkpoint.save_safetensors(tmp_path / "w.safetensors", {"a": tied, "b": tied}, {})
    assert list(tmp_path.iterdir()) == []


def test_nothing_in_the_library_unpickles_freely() -> None:
    """torch.load with weights_only=True, no pickle.load, no numpy.load."""
    files = list(Path(naflow.__file__).parent.rglob("*.py"))
    assert files
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            owner = node.func.value.id if isinstance(node.func.value, ast.Name) else ""
            if owner in ("pickle", "np", "joblib"):
                assert node.func.attr not in ("load", "loads"), f"{file.name}:{node.lineno}"
            if owner == "torch" and node.func.attr == "load":
                safe = {k.arg: getattr(k.value, "value", None) for k in node.keywords}
                assert safe.get("weights_only") is True, f"{file.name}:{node.lineno}"
