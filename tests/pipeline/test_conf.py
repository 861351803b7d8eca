"""Every configuration composes and builds what it names."""

import re

import pytest
import torch
from hydra.errors import MissingConfigException
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import nn
from torchvision.models import resnet18

from naflow import NAFlow
from naflow.explainer import Explainer
from naflow.methods import METHODS, ordered
from naflow.models import card, list_models
from pipeline import settings
from pipeline.app import CONF
from pipeline.learning.augment import Augmentation
from pipeline.learning.curriculum import Curriculum
from pipeline.learning.training import Phase, Schedule

DOCS = "".join(path.read_text() for path in (CONF.parent / "docs").glob("*.md"))


def names(group):
    """The choices of a group, those in folders of it included, as in more/mobilenet_v2."""
    files = (CONF / group).rglob("*.yaml")
    return sorted(path.relative_to(CONF / group).with_suffix("").as_posix() for path in files)


def test_the_methods_are_those_of_the_library():
    assert set(names("method")) == set(METHODS)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_the_same_as_in_the_library(config, name):
    chosen = OmegaConf.to_container(config(f"method={name}").method)
    assert chosen == {"_target_": METHODS[name].target, **METHODS[name].settings}
    explainer = instantiate(chosen, resnet18(num_classes=2))
    assert isinstance(explainer, Explainer)
    assert explainer.name == METHODS[name].label


def test_the_method_where_none_is_named_is_the_default_preset(config):
    cfg = config()
    made = instantiate(cfg.method, resnet18(num_classes=2))
    assert made.config == NAFlow(resnet18(num_classes=2)).config
    assert (cfg.evaluate.method, cfg.study.method) == ("naflow", "naflow")


@pytest.mark.parametrize("name", [one for one in names("model") if not one.startswith("base/")])
def test_models(config, name):
    model = config(f"model={name}", "model.labels=labels.txt").model
    assert model.name == name.split("/")[-1]
    classes = {"classes": 3} if model.task == "classification" else {}
    assert isinstance(instantiate(model.network, **classes), nn.Module)
    assert len(model.input.mean) == len(model.input.std) == 3
    assert model.input.size > 0


def test_results_may_have_another_name_than_the_network(config):
    model = config("model=conv4net", "model.name=birds").model
    assert (model.name, model.network.name) == ("birds", "conv4net")
    assert config("model=conv4net").model.name == "conv4net"


@pytest.mark.parametrize("name", names("experiment"))
def test_experiments(config, name):
    """Each is a whole configuration, of a network and pictures that can be, and a page tells it."""
    cfg = config(f"+experiment={name}")
    settings.check(cfg)
    cfg.images.select, cfg.images.groups = {}, None  # the small scenes have neither
    assert instantiate(cfg.images).pictures
    classes = {"classes": 3} if cfg.model.task == "classification" else {}
    network = instantiate(cfg.model.network, **classes)
    for step in cfg.recipe.get("steps", {}).values():
        instantiate(step.objective, network=network, labels=torch.arange(40) % 8, size=32)
    assert f"+experiment={name}" in DOCS
    assert set(re.findall(r"\+experiment=([a-z]\w+)", DOCS)) == set(names("experiment"))


RECIPES = sorted(path.relative_to(CONF / "recipe") for path in (CONF / "recipe").glob("*/*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=str)
def test_recipes(config, path):
    cfg = config(f"model={path.stem}", f"recipe={path.with_suffix('')}", "recipe.size=32")
    for step in cfg.recipe.get("steps", {}).values():
        schedule = dict(step.schedule)
        assert Schedule([Phase(**phase) for phase in schedule.pop("phases")], **schedule).sizes
        assert Augmentation(**step.augmentation)
        assert Curriculum(**step.get("curriculum", {}))
        network = instantiate(cfg.model.network)
        instantiate(step.objective, network=network, labels=torch.arange(40) % 8, size=32)
    protocol = instantiate(cfg.recipe.verify)
    assert protocol.part
    assert cfg.recipe.gate


def test_the_published_network_is_given_the_pixels_that_its_card_says(config):
    found, known = config("model=efficientnet_lite0").model.input, card("efficientnet_lite0").input
    assert tuple(found.mean) == known.mean
    assert tuple(found.std) == known.std


@pytest.mark.parametrize("name", sorted(set(names("images")) - {"imagenet", "photographs"}))
def test_folders(config, name, scenes):
    folder = instantiate(
        config(f"images={name}", "images.index=index.csv", "images.columns.label=class").images
    )
    assert folder.pictures
    assert folder.root == scenes


def test_figures_name_methods_and_models_that_are_explained(config):
    cfg = config()
    explained = cfg.methods.split(",")
    for figure in cfg.figures.values():
        assert set(figure.draw.get("methods", [])) <= set(explained)
        assert {figure.model, figure.beside} <= set(list_models())
        assert callable(instantiate(figure.select))
        for claim in figure.claims:
            assert all(callable(instantiate(claim, method=one)) for one in cfg.checked)
    assert set(explained) <= set(METHODS)
    assert set(cfg.checked) <= set(explained)


def test_every_figure_of_flows_shows_the_same_methods_in_the_same_order(config):
    cfg = config()
    rows = [
        list(figure.draw.methods) for figure in cfg.figures.values() if "methods" in figure.draw
    ]
    assert len(rows) == 10
    assert all(one == cfg.methods.split(",") == ordered(one) for one in rows)
    labels = ["Grad-CAM", "NAFlow (released)", "NAFlow (damped)", "NAFlow (selective)", "HiResCAM"]
    assert [METHODS[name].label for name in rows[0]] == labels
    assert list(cfg.checked) == [name for name in rows[0] if name.startswith("naflow")]


@pytest.mark.parametrize("group", ["images", "model", "method"])
def test_a_wrong_name_is_answered_with_the_names_there_are(config, group):
    with pytest.raises(MissingConfigException, match=f"'{group}/nonesuch'") as error:
        config(f"{group}=nonesuch")
    assert {name for name in names(group) if "/" not in name} == set(error.value.options)
