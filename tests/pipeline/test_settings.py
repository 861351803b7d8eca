"""Wrong settings are told in a sentence, before any work."""

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from naflow.errors import BadInput
from pipeline.app import sentence
from pipeline.pictures.images import FITS
from pipeline.settings import FIT, SETTINGS, check


def test_the_shipped_settings_are_right(config):
    check(config())


@pytest.mark.parametrize("model", ["resnet50_npid", "conv64f", "more/mobilenet_v2"])
def test_every_group_is_right(config, model):
    check(config(f"model={model}"))


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("explain.batch=0", "explain.batch=0: it must be a whole number of 1 or more"),
        ("explain.pictures=0", "explain.pictures=0: it must be a whole number of 1 or more or"),
        ("explain.pictures=-3", "explain.pictures=-3: it must be a whole number"),
        ("explain.batch=2.5", "explain.batch=2.5"),
        ("explain.batch=true", "explain.batch=True"),
        ("model.input.fit=zz", "model.input.fit=zz: it must be crop, centre, stretch or box"),
        ("recipe.fit=zz", "fit=zz: it must be crop, centre, stretch or box"),  # the input's follows
        ("model.task=zzz", "model.task=zzz: it must be classification, discrimination"),
        ("explain=5", "explain=5: it has settings of its own, as in explain.pictures"),
        ("~explain.batch", "explain.batch is missing: give a whole number"),
        ("evaluate.confidence=1", "evaluate.confidence=1: it must be a number between 0 and 1"),
        ("seed=-1", "seed=-1: it must be a whole number of 0 or more, up to 4294967295"),
        ("results=null", "results=null: it must be text"),
        ("model.input.mean=[1]", r"model.input.mean=\[1\]: it must be three numbers"),
        ("model.input.size=abc", "model.input.size=abc"),
        ("model.weights=null", "model.weights=null: it must be text"),
        ("recipe.steps=5", "recipe.steps=5: it must be settings of its own"),
        ("figures=5", "figures=5: it must be settings of its own"),
        ("figures.fig04=5", "figures.fig04=5: it must be settings of its own"),
        ("methods=5", "methods=5: it must be text"),
        ("tracking.mode=on", "tracking.mode=on: it must be offline, online or disabled"),
    ],
)
def test_wrong_ones(config, override, told):
    with pytest.raises(BadInput, match=told):
        check(config(override))


def test_no_setting_takes_a_list_of_settings(config):
    for path in SETTINGS:
        cfg = config()
        OmegaConf.update(cfg, path, [{"a": 1}], force_add=True, merge=False)
        with pytest.raises(BadInput, match=r"=\[.*: it must be "):
            check(cfg)


def test_what_is_told_of_errors_that_are_not_ours():
    full = OSError(28, "No space left on device", "results/a.npz")
    assert sentence(full).startswith("results/a.npz: No space left on device.")
    with pytest.raises(Exception, match="target") as wrong:
        instantiate({"_target_": "pathlib.PurePath", "zzz": 1}, _convert_="all")
    told = sentence(wrong.value)
    assert told.startswith("The configuration cannot be used: ") and "\n" not in told


def test_fits_are_those_of_pictures():
    assert {fit for fit in FITS if FIT.allows(fit)} == set(FITS)
    assert FIT.words.replace(" or ", ", ").split(", ") == list(FITS)
