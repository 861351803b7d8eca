"""The fingerprint: whatever decides a result changes it, and nothing else does."""

import importlib
import re
import sys

import pytest
import torch

from pipeline.fingerprint import fingerprint, of_file


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of three files."""
    folder = tmp_path / "made_package"
    (folder / "cli").mkdir(parents=True)
    for name in ("__init__.py", "solving.py", "plot.py", "cli/__init__.py"):
        (folder / name).write_text(f"'''{name}'''\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("made_package")
    for name in ("made_package", "made_package.solving"):
        sys.modules.pop(name, None)


def test_the_same_is_the_same(tmp_path, package):
    (tmp_path / "weights").write_bytes(b"1")
    made_of = (tmp_path / "weights", torch.arange(3), package)
    first = fingerprint({"seed": 0, "model": "resnet18"}, *made_of)
    assert re.fullmatch("[0-9a-f]{64}", first)
    assert first == fingerprint({"model": "resnet18", "seed": 0}, *made_of)
    assert of_file(tmp_path / "weights") == (
        "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"
    )


def test_settings_and_files_count(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"weights")
    other.write_bytes(b"weights")
    first = fingerprint({"seed": 0}, one)
    assert fingerprint({"seed": 0}, other) == first, "what counts is the content"
    assert fingerprint({"seed": 1}, one) != first
    other.write_bytes(b"Weights")
    assert fingerprint({"seed": 0}, other) != first
    with pytest.raises(FileNotFoundError):
        fingerprint({}, tmp_path / "nowhere")


@pytest.mark.parametrize(
    "other",
    [
        torch.tensor([[0.0, 1.0], [2.0, -0.0]]),
        torch.tensor([[0.0, 1.0, 2.0, 0.0]]),
        torch.tensor([[0, 1], [2, 0]], dtype=torch.int32),
        torch.tensor([[0.0, 2.0], [1.0, 0.0]]),
        None,
    ],
)
def test_every_bit_and_the_shape_of_a_tensor_count(other):
    tensor = torch.tensor([[0.0, 1.0], [2.0, 0.0]])
    assert fingerprint("", tensor) == fingerprint("", tensor.T.contiguous().T)
    assert fingerprint("", tensor) != fingerprint("", other)
    nothing = torch.zeros(0, 3)
    assert fingerprint("", nothing) != fingerprint("", torch.zeros(3, 0))
    assert fingerprint("", tensor, nothing) != fingerprint("", nothing, tensor)
    assert fingerprint("", torch.tensor([True])) != fingerprint("", torch.tensor([False]))


def test_code_counts_but_for_what_only_shows(package, tmp_path):
    first = fingerprint("", package)
    folder = tmp_path / "made_package"
    for shows in ("plot.py", "cli/__init__.py"):
        (folder / shows).write_text("1\n")
    assert fingerprint("", package) == first
    (folder / "solving.py").rename(folder / "solved.py")
    moved = fingerprint("", package)
    assert moved != first
    (folder / "solved.py").write_text("1\n")
    assert fingerprint("", package) not in (first, moved)


def test_one_module_is_one_file(package, tmp_path):
    solving = importlib.import_module("made_package.solving")
    first = fingerprint("", solving)
    (tmp_path / "made_package" / "__init__.py").write_text("1\n")
    assert fingerprint("", solving) == first
    (tmp_path / "made_package" / "solving.py").write_text("1\n")
    assert fingerprint("", solving) != first
