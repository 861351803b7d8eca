"""Stage `fetch` against a local server: published, locked and hand-placed files."""

import hashlib
import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from faulty_server import FaultyServer
from omegaconf import OmegaConf

from naflow import models
from naflow.errors import BadInput
from naflow.models import Weights
from naflow.models.cards import CARDS
from pipeline.downloads import weights_lock
from pipeline.downloads.download import Unavailable, WrongFile
from pipeline.fetch import convert, fetch, main


def published(seed: int) -> bytes:
    """A checkpoint of a small network, as bytes."""
    torch.manual_seed(seed)
    file = io.BytesIO()
    torch.save({"state_dict": models.create("conv64f").state_dict()}, file)
    return file.getvalue()


ONE, TWO = published(1), published(2)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with FaultyServer({"/one.pth": ONE, "/two.pth": TWO, "/file/d/1x": ONE}) as server:
        yield server


@pytest.fixture
def card(server, monkeypatch):
    """Let conv64f's weights be published at paths of the server."""

    def publish(*weights: Weights) -> None:
        own = tuple(replace(one, address=server.base + one.address) for one in weights)
        monkeypatch.setitem(CARDS, "conv64f", replace(CARDS["conv64f"], weights=own))

    return publish


@pytest.fixture
def get(tmp_path):
    folder, lock = tmp_path / "downloads", tmp_path / "lock.json"
    return lambda mirror=None: fetch("conv64f", folder, lock, mirror, quiet=True)


def locked(tmp_path) -> dict[str, weights_lock.Entry]:
    return weights_lock.read(tmp_path / "lock.json")


def test_published_hash(card, get, tmp_path, server):
    card(Weights("/one.pth", len(ONE), sha256(ONE)))
    path = get()
    assert path == tmp_path / "downloads" / "one.pth" and path.read_bytes() == ONE
    assert get() == path and len(server.requests) == 1
    assert not (tmp_path / "lock.json").exists()
    path.write_bytes(TWO)
    with pytest.raises(WrongFile, match=sha256(ONE)) as raised:
        get()
    assert "lock.json" not in str(raised.value)


def test_first_download_is_recorded_and_binds_later_ones(card, get, tmp_path, server):
    card(Weights("/one.pth"))
    path = get()
    address = f"{server.base}/one.pth"
    entry = weights_lock.Entry("one.pth", len(ONE), sha256(ONE), address)
    assert locked(tmp_path) == {"conv64f": entry}
    path.unlink()
    assert get() == path
    path.unlink()
    server.files["/one.pth"] = TWO
    with pytest.raises(WrongFile) as raised:
        get()
    for told in (sha256(ONE), sha256(TWO), "remove conv64f from", "lock.json", f"hand at {path}"):
        assert told in str(raised.value)
    assert not path.exists() and locked(tmp_path) == {"conv64f": entry}
    path.write_bytes(TWO)  # placed by hand, but the lock knows better
    with pytest.raises(WrongFile, match="remove conv64f from"):
        get()
    (tmp_path / "lock.json").unlink()
    assert get().read_bytes() == TWO


def test_placed_by_hand_is_taken_and_said_and_not_recorded(card, get, tmp_path, server, caplog):
    card(Weights("/one.pth"), Weights("/two.pth"))
    path = tmp_path / "downloads" / "two.pth"
    path.parent.mkdir()
    path.write_bytes(TWO)
    assert get() == path
    assert [record.getMessage().count("placed by hand") for record in caplog.records] == [1]
    assert server.requests == [] and locked(tmp_path) == {}


def test_next_file_and_then_only_that(card, get, tmp_path, server):
    card(Weights("/gone.pth"), Weights("/two.pth"))
    path = get()
    assert path.name == "two.pth" and locked(tmp_path)["conv64f"].file == "two.pth"
    path.unlink()
    server.files["/gone.pth"] = server.files.pop("/two.pth")
    with pytest.raises(Unavailable, match=r"two\.pth was not downloaded"):
        get()


def test_none_of_them(card, get):
    card(Weights("/gone.pth"), Weights("/lost.pth"))
    with pytest.raises(Unavailable, match=r"gone\.pth.*lost\.pth"):
        get()


def test_page_without_an_ending_is_named_after_the_model(card, get, tmp_path):
    card(Weights("/file/d/1x"))
    assert get() == tmp_path / "downloads" / "conv64f.pth"


def test_mirror(card, get, tmp_path, server):
    card(Weights("/gone/one.pth", sha256=sha256(ONE)))
    assert get(mirror=server.base).read_bytes() == ONE


def test_lock_of_another_address(card, get, tmp_path):
    card(Weights("/one.pth"))
    entry = weights_lock.Entry("one.pth", 1, "00", "https://a.org/one.pth")
    weights_lock.record(tmp_path / "lock.json", "conv64f", entry)
    with pytest.raises(BadInput, match="no address of conv64f's weights"):
        get()


def test_unpublished_and_unknown(get, tmp_path):
    with pytest.raises(BadInput, match="nobody has published"):
        get()
    with pytest.raises(BadInput, match=r"no model 'resnet19'.*'resnet18'"):
        fetch("resnet19", tmp_path, tmp_path / "lock.json")


def test_stage(card, server, tmp_path):
    card(Weights("/one.pth"))
    target = tmp_path / "weights" / "conv64f.safetensors"
    place = {"folder": str(tmp_path / "in"), "lock": str(tmp_path / "lock.json"), "mirror": None}
    model = {"name": "conv64f", "weights": str(target)}
    main(OmegaConf.create({"model": model, "fetch": place, "quiet": True}))
    torch.manual_seed(1)
    wanted = models.create("conv64f").state_dict()
    found = models.create("conv64f", target).state_dict()
    assert all(torch.equal(found[name], value) for name, value in wanted.items())
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_memory_bank_beside_the_weights(tmp_path, monkeypatch, caplog):
    bank, converted = torch.rand(50, 128), []
    monkeypatch.setattr(models, "convert", lambda *arguments: converted.append(arguments))
    monkeypatch.setattr(models, "memory_bank", lambda source: bank)
    arguments = ("resnet18_npid", tmp_path / "npid.pth", tmp_path / "npid.safetensors")
    convert(*arguments)
    assert converted == [arguments]
    assert np.array_equal(np.load(tmp_path / "npid.memory.npy"), bank.numpy())
    (tmp_path / "npid.memory.npy").unlink()
    monkeypatch.undo()
    (tmp_path / "npid.pth").write_bytes(ONE)
    monkeypatch.setattr(models, "convert", lambda *arguments: None)
    convert(*arguments)  # a file without one, as VISSL's is
    assert not (tmp_path / "npid.memory.npy").exists()
    assert "no memory bank" in caplog.text
