"""One registry of methods: names, labels, classes and looks; a name spelled otherwise is told."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields
from itertools import product
from math import nan
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from bench.flow import METHODS as BENCH
from naflow import NAFlow, explainers
from naflow.cli.methods import NAMES
from naflow.cli.methods import explainers as of_command_line
from naflow.errors import BadInput
from naflow.explainer import Explainer, settings
from naflow.explainers import SegXResCAM
from naflow.explainers.cf_cam import Reconstruction
from naflow.explainers.rules import Rules
from naflow.methods import METHODS, label, method, ordered
from naflow.presets import InverseConfig

MODEL = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())


@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_called_as_its_explainer_is(name: str) -> None:
    known = METHODS[name]
    made = known(MODEL)
    assert isinstance(made, Explainer)
    assert type(made) is known.kind
    assert made.name == known.label == label(name)
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", name)  # the name of a file, a folder and a setting
    assert known.source


def test_no_two_are_called_or_drawn_alike() -> None:
    assert len({known.label for known in METHODS.values()}) == len(METHODS)
    looks = {(known.colour, known.marker, known.dash) for known in METHODS.values()}
    assert len(looks) == len(METHODS)


def test_naflow_is_the_default_preset_everywhere() -> None:
    default = NAFlow(MODEL)
    for made in (
        METHODS["naflow"](MODEL),
        of_command_line(["naflow"], MODEL, None)["naflow"],
        BENCH["naflow"](MODEL),
    ):
        assert isinstance(made, NAFlow)
        assert (made.config, made.preset) == (default.config, default.preset)
    presets = [METHODS[name].label for name in METHODS if name.startswith("naflow")]
    said = ("released", "damped", "selective", "tested")
    assert presets == [f"NAFlow ({preset})" for preset in said]


def test_a_setting_is_changed_by_its_name() -> None:
    made = METHODS["naflow_damped"](MODEL, damping=1.0)
    assert isinstance(made, NAFlow)
    assert made.config.damping == 1.0
    with pytest.raises(BadInput, match="no setting 'dumping'"):
        METHODS["naflow"](MODEL, dumping=1.0)


@pytest.mark.parametrize("name", METHODS)
def test_a_setting_that_there_is_not_is_refused(name: str) -> None:
    for wrong in ("lats", "dumping", "zzz"):
        with pytest.raises(BadInput, match=f"no (setting|option) '{wrong}'"):
            METHODS[name](MODEL, **{wrong: 1})
    kind = METHODS[name].kind
    if not issubclass(kind, (NAFlow, explainers.CFCAM)):  # who take knobs, too
        with pytest.raises(BadInput, match=f"{kind.__name__} has no setting 'lats'.* 'last'"):
            METHODS[name](MODEL, lats="0")


_WRONG = [-1, nan, 0.5j, "zzz", b"x", {}, object(), torch.ones(2), np.ones(2)]
#: Of what kind a wrong value is right after all.
_RIGHT = {"last": str, "seed": int, "others": torch.Tensor}


def _knobs(kind: type) -> list[str]:
    if kind is NAFlow:
        return ["preset", *settings(kind), *(one.name for one in fields(InverseConfig))]
    more = fields(Reconstruction) if kind is explainers.CFCAM else ()
    return [*settings(kind), *(one.name for one in more)]


@pytest.mark.parametrize("kind", dict.fromkeys(method.kind for method in METHODS.values()))
def test_a_wrong_value_of_a_setting_is_refused(kind: type[Explainer]) -> None:
    for name, value in product(_knobs(kind), _WRONG):
        try:
            kind(MODEL, **{name: value})
        except BadInput:
            continue
        assert isinstance(value, _RIGHT.get(name, ())), (name, value)


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (Rules, [one.name for one in fields(Rules)]),
        (lambda **setting: SegXResCAM(MODEL, **setting), ["window", "pool", "last"]),
    ],
)
def test_and_so_is_one_of_rules_and_of_segmentation(make: Callable, names: list[str]) -> None:
    for name, value in product(names, _WRONG):
        if isinstance(value, _RIGHT.get(name, ())):
            continue
        with pytest.raises(BadInput):
            make(**{name: value})


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        *(("gradcam++", "gradcam_plus_plus"), ("grad-cam", "gradcam"), ("cfcam", "cf_cam")),
        *(("relevancecam", "relevance_cam"), ("Relevance-CAM", "relevance_cam")),
        *(("damped", "naflow_damped"), ("released", "naflow_released"), ("SGLRP", "sglrp")),
    ],
)
def test_another_spelling_is_refused_with_the_name(said: str, meant: str) -> None:
    with pytest.raises(BadInput, match=rf"no method '{re.escape(said)}'\. Did you mean '{meant}'"):
        method(said)
    with pytest.raises(BadInput, match=f"Did you mean '{meant}'"):
        of_command_line([said], MODEL, None)


def test_the_order_is_that_of_the_figures() -> None:
    assert ordered(["mine", "hirescam", "a", "naflow", "gradcam", "naflow_released"]) == [
        *("gradcam", "naflow_released", "naflow", "hirescam", "a", "mine"),
    ]
    assert label("mine") == "mine"


def test_all_methods_for_classes_and_embeddings_are_named() -> None:
    exported = {getattr(explainers, name) for name in explainers.__all__}
    kinds = {known.kind for known in METHODS.values()}
    abstract_or_of_segmentation = {"CAM", "SegGradCAM", "SegHiResGradCAM", "SegXResCAM"}
    methods = {k for k in exported if isinstance(k, type) and issubclass(k, Explainer)}
    assert {k.__name__ for k in methods - kinds} == abstract_or_of_segmentation


def test_the_benchmark_has_all_but_the_controls() -> None:
    controls = {name for name, known in METHODS.items() if known.control}
    assert controls == {"mean_activation", "centre", "edges", "random"}
    assert METHODS.keys() - BENCH.keys() == controls
    assert set(NAMES).isdisjoint(controls)


def test_the_documentation_names_those_of_the_command_line() -> None:
    text = (Path(__file__).parents[2] / "docs" / "methods.md").read_text()
    assert f"`{' '.join(NAMES)}`" in " ".join(text.split())
