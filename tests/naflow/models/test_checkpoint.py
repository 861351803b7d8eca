"""Opening files: nothing but data comes out, and the code keeps to that."""

from __future__ import annotations

import ast
import io
import json
import os
import pickle
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import naflow
from naflow import BadInput, models
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


def torchscript() -> bytes:
    file = io.BytesIO()
    with pytest.warns(FutureWarning):
        torch.jit.save(torch.jit.script(nn.Linear(2, 2)), file)
    return file.getvalue()


def tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("storages"))
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        lambda: pickle.dumps(Evil(Path("mark"))),
        lambda: pickle.dumps(object()),
        lambda: b"\x80\x02\x8a\x01\x00\x97.",  # an operation that weights do not need
        lambda: b"\x80\x04\x95\x00",
        torchscript,
        tar,
    ],
    ids=["code", "object", "operation", "cut", "torchscript", "tar"],
)
def test_the_advice_to_read_without_protection_is_not_passed_on(
    content: object, tmp_path: Path
) -> None:
    path = tmp_path / "w.pth"
    path.write_bytes(content())
    with pytest.raises(BadInput, match=r"w\.pth (holds more than tensors|is damaged)") as error:
        checkpoint.load(path)
    for word in ("weights_only", "weights-only", "False", "allowlist", "add_safe_globals"):
        assert word not in str(error.value)


def test_an_archive_that_would_unpack_to_more_than_it_is(tmp_path: Path) -> None:
    path, bomb = tmp_path / "a.pt", tmp_path / "bomb.pt"
    torch.save({"a": torch.zeros(100_000)}, path)
    with zipfile.ZipFile(path) as given, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as out:
        for one in given.infolist():
            out.writestr(one.filename, given.read(one))
    assert bomb.stat().st_size < 10_000
    with pytest.raises(BadInput, match=r"bomb.pt is damaged.*would take more memory than its size"):
        checkpoint.load(bomb)
    assert checkpoint.load(path).keys() == {"a"}


@pytest.mark.parametrize(
    ("kind", "odd"),
    [
        ("complex64", lambda value: value.to(torch.complex64)),
        ("sparse_coo", lambda value: value.to_sparse()),
        ("meta", lambda value: value.to("meta")),
        ("float8_e5m2", lambda value: value.to(torch.float8_e5m2)),
    ],
)
def test_what_is_no_array_of_real_numbers_is_no_weight(
    kind: str, odd: Callable[[torch.Tensor], torch.Tensor], tmp_path: Path
) -> None:
    state = models.create("conv64f").state_dict()
    name = next(iter(state))
    torch.save(state | {name: odd(state[name])}, tmp_path / "a.pt")
    with pytest.raises(BadInput, match=rf"a.pt: '{name}' holds no plain real numbers .*{kind}"):
        models.create("conv64f", tmp_path / "a.pt")
    if kind == "complex64":
        save_file(state | {name: odd(state[name])}, tmp_path / "a.safetensors")
        with pytest.raises(BadInput, match="holds no plain real numbers"):
            checkpoint.load_safetensors(tmp_path / "a.safetensors")


def test_a_tensor_of_many_dimensions_is_no_weight(tmp_path: Path) -> None:
    save_file({"a": torch.zeros((1,) * 40)}, tmp_path / "a.safetensors")
    with pytest.raises(BadInput, match="'a' has 40 dimensions; weights have a few"):
        checkpoint.load_safetensors(tmp_path / "a.safetensors")


def test_half_of_a_byte_a_number_is_no_weight(tmp_path: Path) -> None:
    head = b'{"a":{"dtype":"F4","shape":[4],"data_offsets":[0,2]}}'
    (tmp_path / "a.safetensors").write_bytes(len(head).to_bytes(8, "little") + head + bytes(2))
    with pytest.raises(BadInput, match=r"holds no plain real numbers|is damaged"):
        checkpoint.load_safetensors(tmp_path / "a.safetensors")


def told(path: Path, about: str, **tensors: torch.Tensor) -> Path:
    save_file(tensors or {"fc.weight": torch.zeros(5, 2)}, path, {"naflow": about})
    return path


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ("[]", "a JSON object is expected, not a list"),
        ("5", "a JSON object is expected, not a int"),
        ("null", "a JSON object is expected"),
        ("{", "no JSON that could be read"),
        ("[" * 100_000, "no JSON that could be read"),
        ('{"settings": ' + '{"a": ' * 100_000, "no JSON that could be read"),
        (f'{{"settings": {{"classes": {"9" * 5000}}}}}', "no JSON that could be read"),
        ('{"classes": 5}', "'classes' must be a list of names"),
        ('{"classes": {"_target_": "os.system"}}', "'classes' must be a list of names"),
        ('{"classes": ["a", 5]}', "'classes' must be a list of names"),
        ('{"classes": ["a"], "settings": {"classes": 5}}', "it names 1 of 5 classes"),
        (f'{{"classes": ["{"x" * 1001}"]}}', "a class has a name of more than 1000 letters"),
        ('{"model": ["resnet18"]}', "'model' must be text"),
        ('{"settings": []}', "the settings are \\[\\], not names with values"),
        ('{"settings": null}', "the settings are None, not names with values"),
        ('{"settings": {"slope": NaN}}', "'slope' is nan; only finite numbers"),
        ('{"settings": {"slope": 1e999}}', "'slope' is inf; only finite numbers"),
        ('{"settings": {"_target_": "os.system"}}', "'_target_' was refused"),
        ('{"settings": {"classes": 1000000000}}', "no tensor of the file has a side of classes=1"),
    ],
)  # fmt: skip
def test_what_a_file_tells_is_checked(about: str, said: str, tmp_path: Path) -> None:
    path = told(tmp_path / "w.safetensors", about)
    with pytest.raises(BadInput, match=rf"w\.safetensors, metadata 'naflow': .*{said}"):
        checkpoint.load_safetensors(path)


def test_a_side_that_holds_nothing_vouches_for_no_size(tmp_path: Path) -> None:
    empty = torch.zeros(10**9, 0)
    path = told(tmp_path / "w.safetensors", '{"settings": {"classes": 1000000000}}', a=empty)
    with pytest.raises(BadInput, match="no tensor of the file has a side"):
        checkpoint.load_safetensors(path)


def test_no_setting_of_a_file_reaches_a_network_by_another_kind(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    for settings, said in (
        ({"classes": "5"}, "resnet18: the setting 'classes' is '5'; it must be int"),
        ({"weights": "other.pth"}, "resnet18 has no setting 'weights'"),
        ({"name": "resnet50"}, "resnet18 has no setting 'name'"),
        ({"classes": -1}, "resnet18 cannot be built with classes=-1"),
    ):
        told(path, json.dumps({"settings": settings}))
        with pytest.raises(BadInput, match=said):
            models.create("resnet18", path)


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_weights_are_readable_by_whom_the_umask_says(mask: int, tmp_path: Path) -> None:
    before = os.umask(mask)
    try:
        for path in (tmp_path / "w.safetensors", tmp_path / "w.safetensors"):  # new, and replaced
            checkpoint.save_safetensors(path, {"a": torch.zeros(2)}, {})
            assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask
    finally:
        os.umask(before)


def test_a_changed_bit_of_a_checkpoint_is_refused_and_not_loaded(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save({"w": torch.arange(1000.0)}, path)
    content = path.read_bytes()
    assert checkpoint.load(path)["w"][7] == 7
    at = content.index(torch.arange(1000.0).numpy().tobytes()) + 2000
    path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    with pytest.raises(BadInput, match=r"w\.pth is damaged .*data/0 is not as it was saved"):
        checkpoint.load(path)
