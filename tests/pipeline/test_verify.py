"""The stage: numbers written, and a network below its gate told with both numbers."""

import json

import pytest

from naflow.errors import BadInput
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


def test_without_a_recipe_it_says_so(trained):
    with pytest.raises(BadInput, match="Nothing says how to verify"):
        verify(trained("model=more/mobilenet_v2", "model.labels=x"))
