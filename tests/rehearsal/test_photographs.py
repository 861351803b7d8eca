"""The profile `photographs` on stand-ins: its statements accept or refuse networks."""

import pytest

from naflow.errors import BadInput
from pipeline import fetch, select, verify
from pipeline.gather import gather
from pipeline.judging import decisions, selection
from rehearsal import photographs, world
from rehearsal.composed import composed
from rehearsal.publisher import Publisher

NAMES = ("resnet18", "resnet18_npid")


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory):
    return photographs.made(tmp_path_factory.mktemp("stand_ins"), NAMES)


@pytest.fixture
def publisher(stand_ins, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Publisher(stand_ins) as server:
        yield server


@pytest.fixture
def config(publisher, tmp_path, monkeypatch):
    """Compose conf/ for a network on the photographs, into tmp_path."""
    monkeypatch.delenv("PHOTOGRAPHS", raising=False)

    def gathered(name):
        own = {"photographs.root": tmp_path / "photographs"}
        cfg = composed(publisher, tmp_path, name, "photographs", own)
        gather(cfg.photographs)
        return cfg

    return gathered


def test_a_network_of_which_what_is_stated_holds_is_taken(config, tmp_path):
    cfg = config("resnet18")
    fetch.prepare(cfg)
    numbers = verify.verify(cfg)
    assert numbers["stated"] == 1 and numbers["coffee: rank of 'espresso'"] <= 5
    select.select(cfg)
    shown = selection.read(tmp_path / "results/selected/resnet18/fig04.json")
    assert shown.met and len({one.decision.label for one in shown.chosen}) == 3


def test_an_embedding_finds_neighbours_among_the_photographs(config, tmp_path):
    cfg = config("resnet18_npid")
    fetch.prepare(cfg)
    assert verify.verify(cfg)["stated"] == 1
    found = {
        one.picture: one for one in decisions.read(tmp_path / "results/decisions/resnet18_npid.csv")
    }
    assert found["cat"].reference == "cat_mirrored" and found["cat"].right
    assert not found["coffee"].right


@pytest.mark.parametrize("name", NAMES)
def test_worse_weights_are_refused(config, publisher, stand_ins, tmp_path, name):
    publisher.publish(name, world.poorer(name, stand_ins[name], tmp_path / "poorer"))
    cfg = config(name)
    fetch.prepare(cfg)
    with pytest.raises(BadInput, match=r"stated is 0\.\d+, and at least 1\.0000 is required"):
        verify.verify(cfg)
