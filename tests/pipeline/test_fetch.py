"""Stage `fetch` against a local server: published, locked and hand-placed files."""

import hashlib
import io
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from faulty_server import FaultyServer, instead
from omegaconf import OmegaConf

from naflow import models
from naflow.errors import BadInput
from naflow.models import Weights
from naflow.models.cards import CARDS
from pipeline import fetch as stage
from pipeline.app import CONF
from pipeline.downloads import source, weights_lock
from pipeline.downloads.download import Unavailable, WrongFile
from pipeline.fetch import convert, expected, fetch, prepare, where
from pipeline.verify import hold


def saved(content: object) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def published(seed: int, name: str = "conv64f") -> bytes:
    """A checkpoint of a small network, as bytes."""
    torch.manual_seed(seed)
    return saved({"state_dict": models.create(name).state_dict()})


ONE, TWO, OTHER = published(1), published(2), published(3, "conv4net")


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
    return lambda mirror=None: fetch("conv64f", folder, lock, mirror, quiet=True)[0]


@pytest.fixture
def origin(tmp_path):
    """The address that a fetched file is said to be from."""
    folder, lock = tmp_path / "downloads", tmp_path / "lock.json"
    return lambda mirror=None: fetch("conv64f", folder, lock, mirror, quiet=True)[1].address


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
    assert "placed by hand must be the published one" in str(raised.value)
    assert "given as model.weights" in str(raised.value)
    assert "lock.json" not in str(raised.value)


def test_what_was_downloaded_and_verified_binds_later_downloads(card, get, tmp_path, server):
    card(Weights("/one.pth"))
    path = get()
    assert locked(tmp_path) == {}  # it has still to prove itself
    address = f"{server.base}/one.pth"
    entry = weights_lock.Entry("one.pth", len(ONE), sha256(ONE), address)
    weights_lock.record(tmp_path / "lock.json", "conv64f", entry)
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


def test_where_a_file_is_from_is_still_known_when_it_is_found_again(card, origin, tmp_path, server):
    card(Weights("/one.pth"))
    assert origin() == f"{server.base}/one.pth"
    assert origin() == f"{server.base}/one.pth" and len(server.requests) == 1
    (tmp_path / "downloads" / "one.pth").write_bytes(TWO)
    assert origin() == ""
    (tmp_path / "downloads" / "one.pth.origin.json").write_text("{")
    assert origin() == ""


def test_where_a_file_is_from_is_known_though_its_fetch_was_killed(
    card, origin, server, monkeypatch
):
    card(Weights("/one.pth"))

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("pipeline.fetch._origin", killed)  # the file has just come to its place
        with pytest.raises(KeyboardInterrupt):
            origin()
    assert origin() == f"{server.base}/one.pth" and len(server.requests) == 1


def test_a_file_from_a_mirror_is_not_said_to_be_the_published_one(
    card, origin, tmp_path, server, caplog
):
    card(Weights("/one.pth"))
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "one.pth").write_bytes(TWO)
    for _ in range(2):
        assert origin(str(tmp_path / "mirror")) == ""
    assert f"is from {tmp_path / 'mirror' / 'one.pth'}: only its gate" in caplog.text
    (tmp_path / "downloads" / "one.pth").unlink()
    assert origin() == f"{server.base}/one.pth"  # the genuine one is not refused
    assert (tmp_path / "downloads" / "one.pth").read_bytes() == ONE


ERROR = b'{"error": {"code": 403, "message": "quota exceeded"}}'


def test_an_error_page_is_neither_taken_nor_locked_and_the_genuine_file_is(
    card, get, tmp_path, server
):
    card(Weights("/one.pth"))
    server.faults = [instead(ERROR, Content_Type="application/json")]
    with pytest.raises(WrongFile, match=r"one\.pth: the file (is damaged|holds more)"):
        get()
    assert locked(tmp_path) == {}
    assert not list((tmp_path / "downloads").glob("one*"))
    assert get().read_bytes() == ONE


BODIES = {
    "no checkpoint": saved({"state_dict": {}}),
    "it has, beyond": saved(models.create("conv64f").state_dict() | {"more": torch.ones(1)}),
    "another network": saved(models.create("resnet18").state_dict()),
    "NaN": saved({k: v * torch.nan for k, v in models.create("conv64f").state_dict().items()}),
    "damaged": ONE[:-1000],
}


@pytest.mark.parametrize("told", BODIES)
def test_what_does_not_convert_is_not_taken(card, get, tmp_path, server, told):
    card(Weights("/bad.pth"))
    server.files["/bad.pth"] = BODIES[told]
    with pytest.raises(WrongFile, match=told):
        get()
    path = tmp_path / "downloads" / "bad.pth"
    assert not path.exists()
    card(Weights("/bad.pth"), Weights("/two.pth"))
    assert get().name == "two.pth"
    path.with_name("two.pth").unlink()
    path.write_bytes(BODIES[told])  # by hand
    with pytest.raises(WrongFile, match="Remove it; the next run downloads it again"):
        get()


def test_the_card_says_how_large_a_file_can_be(card, get, server):
    card(Weights("/one.pth", about=len(ONE) // 3))
    with pytest.raises(Unavailable, match=f"at most {2 * (len(ONE) // 3):,} are expected"):
        get()
    card(Weights("/one.pth", about=len(ONE)))
    assert get().read_bytes() == ONE


def test_next_file_and_then_only_that(card, get, tmp_path, server):
    card(Weights("/gone.pth"), Weights("/two.pth"))
    path = get()
    assert path.name == "two.pth"
    entry = weights_lock.Entry("two.pth", len(TWO), sha256(TWO), f"{server.base}/two.pth")
    weights_lock.record(tmp_path / "lock.json", "conv64f", entry)
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


def test_published_elsewhere(tmp_path, server):
    """Its own hash holds, the gate's lock does not, and nothing of it is locked."""
    instead = {"conv64f": (Weights(f"{server.base}/two.pth", len(TWO), sha256(TWO)),)}
    entry = weights_lock.Entry("one.pth", 1, "00", "https://a.org/one.pth")
    weights_lock.record(tmp_path / "lock.json", "conv64f", entry)
    place = (tmp_path / "downloads", tmp_path / "lock.json")
    path, entry = fetch("conv64f", *place, quiet=True, instead=instead)
    assert path.read_bytes() == TWO and entry.address == f"{server.base}/two.pth"
    target = tmp_path / "conv64f.safetensors"
    models.convert("conv64f", path, target, bias=True)
    source.write(target, entry)
    before = locked(tmp_path)
    hold("conv64f", target, tmp_path / "lock.json")
    assert locked(tmp_path) == before
    path.unlink()
    server.files["/two.pth"] = ONE
    with pytest.raises(WrongFile, match=sha256(TWO)):
        fetch("conv64f", *place, quiet=True, instead=instead)


@pytest.mark.parametrize("dead", [0, 1])
@pytest.mark.parametrize("paths", [("/a/w.pth", "/b/w.pth"), ("/file/d/1x?a", "/file/d/2x?b")])
def test_copies_of_one_name_are_tried_in_order(tmp_path, server, caplog, dead, paths):
    server.files[paths[1 - dead].partition("?")[0]] = ONE
    server.files.pop(paths[dead].partition("?")[0], None)
    instead = {"conv64f": tuple(Weights(server.base + path) for path in paths)}
    place = (tmp_path / "downloads", tmp_path / "lock.json")
    for _ in range(2):  # the second finds it there, and knows where it is from
        path, entry = fetch("conv64f", *place, quiet=True, instead=instead)
        assert path.read_bytes() == ONE and entry.address == server.base + paths[1 - dead]
    asked = [path for path, _ in server.requests]
    assert asked == ([*paths] if dead == 0 else [paths[0]])
    assert "only its gate" not in caplog.text


def test_two_models_may_share_a_name_of_a_file(tmp_path, server):
    """Each keeps its own: the second is neither refused nor taken for the first."""
    server.files |= {"/a/model.pth": ONE, "/b/model.pth": OTHER}
    places = {"conv64f": "/a/model.pth", "conv4net": "/b/model.pth"}
    instead = {name: (Weights(server.base + path),) for name, path in places.items()}
    for _ in range(2):
        for name, content in (("conv64f", ONE), ("conv4net", OTHER)):
            place = (tmp_path / "downloads", tmp_path / "lock.json")
            path, _ = fetch(name, *place, quiet=True, instead=instead)
            assert path == tmp_path / "downloads" / name / "model.pth"
            assert path.read_bytes() == content


def test_published_files_of_one_name_are_of_one_model(tmp_path):
    cards = {name: models.card(name).weights for name in models.list_models()}
    places = [where(tmp_path, name, one) for name, files in cards.items() for one in files]
    assert len(places) > 5 and len(set(places)) == len(places)
    assert {path.parent for path in places} == {tmp_path}


def test_lock_of_another_address(card, get, tmp_path):
    card(Weights("/one.pth"))
    entry = weights_lock.Entry("one.pth", 1, "00", "https://a.org/one.pth")
    weights_lock.record(tmp_path / "lock.json", "conv64f", entry)
    with pytest.raises(BadInput, match="no address of conv64f's weights"):
        get()


def test_unpublished_and_unknown(get, tmp_path):
    with pytest.raises(BadInput, match="are not published"):
        get()
    with pytest.raises(BadInput, match=r"no model 'resnet19'.*'resnet18'"):
        fetch("resnet19", tmp_path, tmp_path / "lock.json")


def test_stage(card, server, tmp_path):
    card(Weights("/one.pth"))
    target = tmp_path / "weights" / "conv64f.safetensors"
    place = {"folder": str(tmp_path / "in"), "lock": str(tmp_path / "lock.json")}
    place |= {"mirror": None, "published": None}
    model = {"name": "conv64f", "weights": str(target)}
    settings = {"model": model, "images": {"name": "x"}, "recipe": {}, "fetch": place}
    prepare(OmegaConf.create(settings | {"quiet": True}))
    torch.manual_seed(1)
    wanted = models.create("conv64f").state_dict()
    found = models.create("conv64f", target).state_dict()
    assert all(torch.equal(found[name], value) for name, value in wanted.items())
    assert {path.name for path in target.parent.iterdir()} == {target.name, "conv64f.source"}
    entry = weights_lock.Entry("one.pth", len(ONE), sha256(ONE), f"{server.base}/one.pth")
    assert source.read(target) == entry
    assert locked(tmp_path) == {}
    hold("conv64f", target, tmp_path / "lock.json")  # as verify does behind the gate
    assert locked(tmp_path) == {"conv64f": entry}
    assert fetch("conv64f", tmp_path / "in", tmp_path / "lock.json", quiet=True)[1] == entry
    models.convert("conv64f", tmp_path / "in" / "one.pth", target, bias=True)
    target.write_bytes(target.read_bytes() + b" ")
    assert source.read(target) is None  # other weights have taken their place


def test_weights_that_are_trained_on_these_pictures_are_not_replaced(config, tmp_path):
    with pytest.raises(
        BadInput, match=r"resnet18 is trained.*pipeline\.fetch model=resnet18 images"
    ):
        prepare(config("model=resnet18", "images=shapes"))
    assert not (tmp_path / "weights.safetensors").exists()


def test_memory_bank_beside_the_weights(tmp_path, monkeypatch):
    bank, converted = torch.rand(50, 128), []
    monkeypatch.setattr(models, "convert", lambda *arguments: converted.append(arguments))
    monkeypatch.setattr(models, "memory_bank", lambda source: bank)
    arguments = ("resnet18_npid", tmp_path / "npid.pth", tmp_path / "npid.safetensors")
    convert(*arguments)
    assert converted == [arguments]
    found = source.bank(tmp_path / "npid.safetensors")
    assert found == tmp_path / "npid.source" / "memory.npy"
    assert np.array_equal(np.load(found), bank.numpy())


def test_dvc_keeps_all_that_the_stage_writes(config, tmp_path, monkeypatch):
    """Else `dvc push` and `dvc repro` would lose the memory bank with the folder of weights."""
    weights = tmp_path / "data/weights/imagenet/resnet18_npid.safetensors"
    monkeypatch.setattr(models, "convert", lambda name, path, target: target.write_text("w"))
    monkeypatch.setattr(models, "memory_bank", lambda path: torch.rand(5, 128))
    entry = weights_lock.Entry("a.pth", 1, "ab", "")
    monkeypatch.setattr(stage, "fetch", lambda *arguments: (tmp_path / "a.pth", entry))
    prepare(config("model=resnet18_npid", "images=imagenet", f"model.weights={weights}"))
    written = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert weights in written and source.bank(weights) in written and len(written) == 3
    outs = yaml.safe_load((CONF.parent / "dvc.yaml").read_text())["stages"]["fetch"]["do"]["outs"]
    named = {"${item.images}": "imagenet", "${key}": "resnet18_npid"}
    for old, new in named.items():
        outs = [out.replace(old, new) for out in outs]
    kept = [tmp_path / out for out in outs]
    assert all(any(path == out or out in path.parents for out in kept) for path in written)


def test_a_file_of_npid_without_its_memory_bank_is_not_taken(tmp_path):
    torch.save(models.create("resnet18_npid").state_dict(), tmp_path / "npid.pth")
    card = models.card("resnet18_npid").weights[0]
    told = expected("resnet18_npid", card).content(tmp_path / "npid.pth")
    assert told.startswith("the file is damaged or no checkpoint of NPID")


def test_every_published_file_has_a_size_that_it_cannot_exceed():
    for name in models.list_models():
        for one in models.card(name).weights:
            assert one.size or one.about, one.address


@pytest.mark.parametrize("content", ["{", "[]", '{"file": "a"}', '{"converted": 1}'])
def test_a_damaged_note_of_the_source_is_said(tmp_path, content):
    (tmp_path / "a.source").mkdir()
    (tmp_path / "a.source" / "source.json").write_text(content)
    (tmp_path / "a.safetensors").write_text("weights")
    with pytest.raises(BadInput, match=r"source\.json is damaged"):
        source.read(tmp_path / "a.safetensors")
