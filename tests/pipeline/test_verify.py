"""The stage: numbers written, and a network below its gate told with both numbers."""

import contextlib
import json
from dataclasses import replace

import pytest
from omegaconf import open_dict

from naflow.errors import BadInput
from naflow.models import Weights
from naflow.models.cards import CARDS
from pipeline.downloads import source, weights_lock
from pipeline.downloads.weights_lock import Entry
from pipeline.train import train
from pipeline.verify import verify


@pytest.fixture
def trained(config):
    train(config())
    return config


def test_numbers_are_written_beside_the_weights(trained, tmp_path):
    numbers = verify(trained("recipe.gate.top1=0"))
    assert json.loads((tmp_path / "weights.json").read_text()) == numbers
    assert numbers["pictures"] == 6
    assert 0 <= numbers["top1"] <= numbers["top5"] == 1


def test_below_the_gate_it_fails_with_both_numbers_which_are_written(trained, tmp_path):
    with pytest.raises(
        BadInput, match=r"resnet18 on 'shapes': top1 is [01]\.\d{4}, .* 1\.0100 is required"
    ):
        verify(trained("recipe.gate.top1=1.01"))
    assert (tmp_path / "weights.json").exists()


@pytest.fixture
def fetched(trained, tmp_path, monkeypatch):
    """Settings for the same weights, as if they had been published at an address without a hash."""
    weights = tmp_path / "weights.safetensors"
    given = (Weights("https://a.org/w.pth"), Weights("https://a.org/known.pth", sha256="ab"))
    monkeypatch.setitem(CARDS, "resnet18", replace(CARDS["resnet18"], weights=given))

    def settings(address, *overrides):
        source.write(weights, Entry("w.pth", 12, "cd" * 32, address))
        cfg = trained(f"fetch.lock={tmp_path}/lock.json", *overrides)
        with open_dict(cfg):
            del cfg.recipe["steps"]
        return cfg

    return settings


def test_fetched_weights_that_pass_their_gate_are_locked(fetched, tmp_path):
    cfg = fetched("https://a.org/w.pth", "recipe.gate.top1=0")
    verify(cfg)
    entry = Entry("w.pth", 12, "cd" * 32, "https://a.org/w.pth")
    assert weights_lock.read(tmp_path / "lock.json") == {"resnet18": entry}


@pytest.mark.parametrize(
    ("address", "gate"),
    [("https://a.org/w.pth", 1.01), ("", 0), ("https://a.org/known.pth", 0)],
    ids=["below the gate", "from a mirror or a hand", "a published hash"],
)
def test_others_are_not(fetched, tmp_path, address, gate):
    with contextlib.suppress(BadInput):
        verify(fetched(address, f"recipe.gate.top1={gate}"))
    assert (tmp_path / "weights.json").exists()
    assert not (tmp_path / "lock.json").exists()


def test_weights_that_have_been_replaced_are_not(fetched, tmp_path):
    cfg = fetched("https://a.org/w.pth", "recipe.gate.top1=0")
    note = tmp_path / "weights.source" / "source.json"
    note.write_text(note.read_text().replace('"converted": "', '"converted": "0'))
    verify(cfg)
    assert not (tmp_path / "lock.json").exists()


def test_fetched_weights_below_their_gate_are_not_told_to_train_longer(fetched):
    with pytest.raises(
        BadInput, match=r"not trained here: see whether \S+w\.pth \(sha256"
    ) as raised:
        verify(fetched("", "recipe.gate.top1=1.01"))
    assert "Train" not in str(raised.value)
    assert "require less (recipe.gate)" in str(raised.value)


def test_without_a_recipe_it_says_so(trained):
    with pytest.raises(BadInput, match="Nothing says how to verify"):
        verify(trained("model=more/mobilenet_v2", "model.labels=x"))
