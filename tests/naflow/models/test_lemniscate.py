"""NPID's checkpoints, built here with classes of the authors' names, and hostile files."""

from __future__ import annotations

import builtins
import contextlib
import functools
import os
import pickle
import sys
import types
import warnings
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.backends import thnn

from naflow import BadInput, models
from naflow.models import lemniscate


class AliasMethod:
    def __init__(self) -> None:
        self.prob, self.alias = torch.rand(5), torch.arange(5)


class NCEAverage(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.multinomial = AliasMethod()
        self.register_buffer("params", torch.tensor([4096, 0.07, -1, 0.5]))
        self.register_buffer("memory", torch.rand(50, 128))


@pytest.fixture
def authors_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """The classes under the names that the published files hold."""
    monkeypatch.setitem(sys.modules, "lib", types.ModuleType("lib"))
    for kind, home in ((NCEAverage, "lib.NCEAverage"), (AliasMethod, "lib.alias_multinomial")):
        module = types.ModuleType(home)
        vars(module).update({kind.__name__: kind, "__file__": __file__})  # torch keeps its source
        monkeypatch.setitem(sys.modules, home, module)
        monkeypatch.setattr(kind, "__module__", home)


def save(content: object, path: Path) -> Path:
    with warnings.catch_warnings():  # from Python 3.14 on no source is found for our classes
        warnings.filterwarnings("ignore", "Couldn't retrieve source code", UserWarning)
        torch.save(content, path, _use_new_zipfile_serialization=False)
    return path


def small(bank: nn.Module, **more: object) -> dict[str, object]:
    shared_storage = torch.randn(3, 4)
    state = OrderedDict(a=torch.randn(2, 3), b=shared_storage.t(), c=shared_storage[1:, 2])
    state["d"], state["e"] = torch.tensor(7), torch.randn(3).half()
    return {"epoch": 200, "arch": "resnet18", "state_dict": state, "lemniscate": bank, **more}


@pytest.mark.usefixtures("authors_code")
def test_network_and_memory_bank(tmp_path: Path) -> None:
    network, bank = models.create("resnet18_npid"), NCEAverage()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.03, momentum=0.9)
    state = OrderedDict((f"module.{k}", v) for k, v in network.state_dict().items())
    content = {"epoch": 200, "arch": "resnet18", "state_dict": state, "lemniscate": bank}
    content |= {"best_prec1": torch.tensor(41.0), "optimizer": optimizer.state_dict()}
    path = save(content, tmp_path / "lemniscate_resnet18.pth")
    loaded = models.create("resnet18_npid", path)
    for key, value in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value), key
    assert torch.equal(models.memory_bank(path), bank.memory)
    models.convert("resnet18_npid", path, tmp_path / "npid.safetensors")
    models.create("resnet18_npid", tmp_path / "npid.safetensors")


@pytest.mark.usefixtures("authors_code")
def test_views_scalars_and_half_precision(tmp_path: Path) -> None:
    content = small(NCEAverage())
    found = lemniscate.read(save(content, tmp_path / "w.pth")).state
    for name, value in content["state_dict"].items():
        assert torch.equal(found[name], value) and found[name].dtype == value.dtype


@pytest.mark.usefixtures("authors_code")
def test_a_cuda_file_and_the_backend_of_old_modules(tmp_path: Path) -> None:
    bank = NCEAverage()
    bank._backend = _Reduced(thnn._get_thnn_function_backend, ())
    content = small(bank)
    path = save(content, tmp_path / "w.pth")
    assert b"ctorch\nFloatStorage" in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(b"ctorch\nFloatS", b"ctorch.cuda\nFloatS"))
    found = lemniscate.read(path)
    assert torch.equal(found.state["a"], content["state_dict"]["a"])
    assert torch.equal(found.memory, bank.memory)


# --- hostile files -------------------------------------------------------------------------------


class _Reduced:
    """What pickles as a call of anything."""

    def __init__(self, function: object, arguments: tuple) -> None:
        self.reduced = (function, arguments)

    def __reduce__(self) -> tuple:
        return self.reduced


def attacks(mark: Path) -> dict[str, object]:
    touch = f"touch {mark}"
    run = f"__import__('os').system({touch!r})"
    return {
        "os.system": _Reduced(os.system, (touch,)),
        "eval": _Reduced(builtins.eval, (run,)),
        "exec": _Reduced(builtins.exec, (run,)),
        "nested": _Reduced(set, ([_Reduced(tuple, ([_Reduced(os.system, (touch,))],))],)),
        "getattr": _Reduced(getattr, (_Reduced(__import__, ("os",)), "system")),
        "partial": _Reduced(functools.partial, (os.system, touch)),
        "map": _Reduced(list, (_Reduced(map, (os.system, [touch])),)),
        "torch.load": _Reduced(torch.load, (str(mark),)),
        "a layer": nn.Linear(2, 2),
    }


@pytest.mark.usefixtures("authors_code")
@pytest.mark.parametrize("attack", attacks(Path("mark")))
@pytest.mark.parametrize("where", ["entry", "bank", "state"])
def test_hostile_pickles_are_refused_and_nothing_runs(
    attack: str, where: str, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    evil, bank = attacks(mark)[attack], NCEAverage()
    content = small(bank)
    if where == "entry":
        content["best_prec1"] = evil
    elif where == "bank":
        bank.__dict__["evil"] = evil
    else:
        content["state_dict"]._metadata = evil
    path = save(content, tmp_path / "w.pth")
    for use in (models.memory_bank, lambda p: models.create("resnet18_npid", p)):
        with pytest.raises(BadInput, match=r"no file of weights needs\. It was refused"):
            use(path)
    with pytest.raises(BadInput, match="holds more than tensors"):
        models.create("resnet18", path)
    assert not mark.exists()


STREAMS = {
    "protocol 0": b"cos\nsystem\n(S'touch mark'\ntR.",
    "instance": b"(S'touch mark'\nios\nsystem\n.",
    "object": b"(cos\nsystem\nS'touch mark'\no.",
    "dotted": b"\x80\x04\x8c\x0bcollections\x8c\x10abc.sys.modules.x\x93.",
    "extension": b"\x80\x02\x82\x01.",
    "setting on a word": b"\x80\x02ccollections\nOrderedDict\nN}U\x08__init__NstN\x86b.",
    "no module": b"(S'module'\ncos\nsystem\ntQ.",
}


@pytest.mark.parametrize("name", STREAMS)
def test_hostile_streams_in_place_of_the_magic_number(name: str, tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    path.write_bytes(STREAMS[name])
    with pytest.raises(BadInput):
        models.memory_bank(path)


def test_stand_ins_do_not_outlive_their_file() -> None:
    first, second = (lemniscate._stand_in("NCEAverage") for _ in range(2))
    first.dump_patches = True
    assert not hasattr(second, "dump_patches")


@pytest.mark.usefixtures("authors_code")
def test_tensors_stay_within_their_storage(tmp_path: Path) -> None:
    path = save(small(NCEAverage()), tmp_path / "w.pth")
    raw = path.read_bytes()
    shape = pickle.dumps((50, 128), 2)[2:-3]  # K2 K\x80 \x86, as it stands in the file
    assert raw.count(shape) == 1
    for wrong in ((200, 128), (50, 250)):
        path.write_bytes(raw.replace(shape, pickle.dumps(wrong, 2)[2:-3]))
        with pytest.raises(BadInput, match="damaged"):
            models.memory_bank(path)


@pytest.mark.usefixtures("authors_code")
@pytest.mark.parametrize("memory", [torch.full((50, 128), torch.nan), torch.rand(50 * 128)])
def test_a_memory_bank_is_a_table_of_finite_numbers(memory: torch.Tensor, tmp_path: Path) -> None:
    bank = NCEAverage()
    bank.memory = memory
    with pytest.raises(BadInput, match="no table of finite numbers"):
        models.memory_bank(save(small(bank), tmp_path / "w.pth"))


@pytest.mark.usefixtures("authors_code")
def test_another_format_is_no_checkpoint_of_npid(tmp_path: Path) -> None:
    torch.save(small(nn.Identity()), tmp_path / "zip.pth")
    with pytest.raises(BadInput, match="damaged or no checkpoint of NPID"):
        models.memory_bank(tmp_path / "zip.pth")
    with pytest.raises(BadInput, match="no such file"):
        models.memory_bank(tmp_path / "none.pth")


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_damage_is_said_or_harmless(
    data: st.DataObject, authors_code: None, tmp_path: Path
) -> None:
    whole = tmp_path / "whole.pth"
    if not whole.exists():
        save(small(NCEAverage()), whole)
    raw = bytearray(whole.read_bytes())
    end = raw.find(b"memory")  # damage mostly the pickles, which come first
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, max(end, 2000)))] = data.draw(st.integers(0, 255))
    path = tmp_path / "w.pth"
    path.write_bytes(raw[: data.draw(st.sampled_from([len(raw), len(raw) // 2, 300]))])
    with contextlib.suppress(BadInput):
        lemniscate.read(path)
