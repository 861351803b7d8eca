"""Every configuration composes and builds what it names."""

import pytest
from hydra.errors import MissingConfigException
from hydra.utils import instantiate
from torch import nn
from torchvision.models import resnet18

from naflow.flow import Flow
from pipeline.app import CONF
from pipeline.augment import Augmentation
from pipeline.training import Phase, Schedule


def names(group):
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


@pytest.mark.parametrize("name", names("method"))
def test_methods(config, name):
    explainer = instantiate(config(f"method={name}").method, resnet18(num_classes=2))
    assert callable(explainer)
    assert explainer.name
    assert Flow


@pytest.mark.parametrize("name", names("model"))
def test_models(config, name):
    model = config(f"model={name}", "model.labels=labels.txt").model
    assert isinstance(instantiate(model.network, num_classes=3), nn.Module)
    assert len(model.input.mean) == len(model.input.std) == 3
    assert model.input.size > 0
    if "train" in model:
        schedule = dict(model.train.schedule)
        assert Schedule([Phase(**phase) for phase in schedule.pop("phases")], **schedule).sizes
        assert Augmentation(**model.train.augmentation)
        assert 0 < model.train.required < 1


@pytest.mark.parametrize("name", names("images"))
def test_images(config, name, scenes):
    folder = instantiate(
        config(f"images={name}", "images.index=index.csv", "images.columns.label=class").images
    )
    assert folder.pictures
    assert folder.root == scenes


def test_figures_name_methods_and_models_that_are_explained(config):
    cfg = config()
    for figure in cfg.figures.values():
        assert set(figure.methods) <= set(cfg.methods)
        assert figure.model in cfg.models
    assert set(cfg.methods) <= set(names("method"))
    assert set(cfg.models) <= set(names("model"))


@pytest.mark.parametrize("group", ["images", "model", "method"])
def test_a_wrong_name_is_answered_with_the_names_there_are(config, group):
    with pytest.raises(MissingConfigException, match=f"'{group}/nonesuch'") as error:
        config(f"{group}=nonesuch")
    assert set(names(group)) <= set(error.value.options)
