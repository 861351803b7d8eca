"""The stage: what it writes for every kind of recipe, and that a kill changes nothing."""

import json

import pytest
import torch
from safetensors.torch import load_file
from small_recipe import steps

import naflow.models
from naflow.errors import BadInput
from pipeline.learning.training import Trainer
from pipeline.models import weights
from pipeline.train import calmed, train


def test_one_epoch_writes_weights_and_losses(config, tmp_path):
    cfg = config()
    train(cfg)
    loaded = weights.load(cfg.model, torch.device("cpu"))
    assert loaded.classes == ["cross", "disc"]
    assert not loaded.network.training
    losses = json.loads((tmp_path / "weights.losses.json").read_text())
    assert {name: len(of_step) for name, of_step in losses.items()} == {"classification": 1}
    assert {p.name for p in tmp_path.glob("[!.]*")} == {
        "weights.losses.json",
        "weights.safetensors",
    }


EPISODES = [
    "model=conv4net",
    "recipe.size=32",
    *steps("classification", "episodes", epochs=2),
    "recipe.steps.episodes.objective.ways=2",
    "recipe.steps.episodes.objective.queries=2",
    "recipe.steps.episodes.objective.steps=2",
]
SPHERE = [
    "model=resnet18_npid",
    "recipe.size=32",
    *steps("discrimination", epochs=2),
]


@pytest.mark.parametrize(("recipe", "kill"), [(EPISODES, 1), (EPISODES, 2), (SPHERE, 1)])
def test_a_kill_at_any_epoch_of_any_step_changes_nothing(
    config, tmp_path, monkeypatch, recipe, kill
):
    cfg = config(*recipe)
    train(cfg)
    whole = load_file(cfg.model.weights)
    epochs, real = [], Trainer._epoch

    def stopping(self, *arguments):
        if len(epochs) == kill:
            raise KeyboardInterrupt
        epochs.append(arguments)
        return real(self, *arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):  # noqa: PT012
        patch.setattr(Trainer, "EVERY", 0)
        patch.setattr(Trainer, "_epoch", stopping)
        train(cfg)
    train(cfg)
    again = load_file(cfg.model.weights)
    assert all(torch.equal(again[name], whole[name]) for name in whole)
    assert not list(tmp_path.glob("*.checkpoint"))


def test_a_start_is_used(config, tmp_path):
    first = config()
    train(first)
    cfg = config(
        f"recipe.start={{weights: {first.model.weights}, without: [fc]}}",
        f"model.weights={tmp_path}/second.safetensors",
        "recipe.steps.classification.schedule.rate=0",
    )
    train(cfg)
    one, two = load_file(first.model.weights), load_file(cfg.model.weights)
    torch.testing.assert_close(one["layer4.1.conv2.weight"], two["layer4.1.conv2.weight"])


def test_without_a_recipe_the_ways_out_are_named(config):
    with pytest.raises(BadInput, match=r"no recipe to train mobilenet_v2 on 'shapes'.*recipe="):
        train(config("model=more/mobilenet_v2", "model.labels=x"))


@pytest.mark.parametrize("name", ["resnet18", "resnet50_cbam"])
def test_fresh_residual_blocks_are_their_shortcuts(name):
    network = naflow.models.create(name)
    calmed(network)
    block, x = network.layer1[1].eval(), torch.rand(1, network.layer1[1].conv1.in_channels, 8, 8)
    torch.testing.assert_close(block(x), x)
