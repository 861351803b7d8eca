"""What a manifest names is looked up in conf/, and nothing else of it is called."""

import builtins
import json
import os

import pytest
import torch
from made_maps import made
from omegaconf import OmegaConf
from torch import nn

from naflow import NAFlow
from naflow.errors import BadInput
from pipeline import evaluate, figure, montage, report
from pipeline.explanations import maps, recorded
from pipeline.explanations.cases import Case
from pipeline.explanations.manifest import sealed
from pipeline.figures.abandoning import draw
from pipeline.judging.decisions import Decision
from pipeline.judging.selection import Chosen, Selection, write
from pipeline.material.view import Material

CASE = Case("disc_test_000")


@pytest.fixture
def images(config):
    return OmegaConf.to_container(config().images, resolve=True)


def manifest(images, method=None):
    return {
        "method": "NAFlow",
        "model": "resnet18",
        "settings": {"images": images, "method": method or {}},
    }


def hostile(mark):
    """Settings that would run code if anything in them were called."""
    touch = f"touch {mark}"
    return [
        {"_target_": "os.system", "_args_": [touch]},
        {"_target_": "posix.system", "_args_": [touch]},
        {"_target_": "sympy.sympify", "a": f"__import__('os').system({touch!r})"},
        {"_target_": "pathlib.Path.touch", "_args_": [str(mark)]},
        {"_target_": "pipeline.pictures.images.os.system", "_args_": [touch]},
        {"_target_": "pipeline.atomic.write_json", "path": str(mark), "content": "x"},
        {"_target_": ["os.system"], "_args_": [touch]},
        {"_target_": {"_target_": "os.system", "_args_": [touch]}},
        {"_target_": None},
        {},
    ]


def inner(mark):
    """The same below a choice that conf/ has."""
    code = {"_target_": "os.system", "_args_": [f"touch {mark}"]}
    return [
        {"columns": code},
        {"root": code},
        {"select": {"split": [code]}},
        {"_args_": ["x"]},
        {"_partial_": True},
        {"_recursive_": True},
    ]


def test_the_folder_of_a_manifest(images, scenes):
    folder = recorded.images(manifest(images))
    assert folder.root == scenes and folder.of_id(CASE.picture).label == "disc"
    assert recorded.images(manifest(dict(reversed(images.items())))) is folder


@pytest.mark.parametrize("number", range(10))
def test_code_in_the_place_of_a_folder_does_not_run(number, tmp_path):
    mark = tmp_path / "mark"
    settings = hostile(mark)[number]
    for group, called in (("images", recorded.images), ("method", recorded.method)):
        about = manifest({"name": "x"}) | {"settings": {"images": settings, "method": settings}}
        with pytest.raises(BadInput, match=rf"settings\.{group}: .* no file of conf/{group}"):
            called(about) if group == "images" else called(about)(nn.Identity())
    assert not mark.exists()


@pytest.mark.parametrize("number", range(6))
def test_code_inside_the_values_does_not_run(number, images, tmp_path):
    mark = tmp_path / "mark"
    with pytest.raises(BadInput, match=r"'_\w+_' was refused and nothing was called"):
        recorded.images(manifest(images | inner(mark)[number]))
    assert not mark.exists()


def test_nothing_in_the_values_is_resolved(images, monkeypatch, tmp_path):
    monkeypatch.setenv("SECRET", str(tmp_path))
    with pytest.raises(BadInput, match=r"images\.root=\$\{oc\.env:SECRET\}: there is no such"):
        recorded.images(manifest(images | {"root": "${oc.env:SECRET}"}))


@pytest.mark.parametrize(
    "values", [{"root": 5}, {"columns": 5}, {"nonesuch": 1}, {"columns": {"id": ["a"]}}]
)
def test_values_of_no_use_are_one_sentence(values, images):
    with pytest.raises(BadInput, match=r"NAFlow on resnet18, settings\.images cannot be used \("):
        recorded.images(manifest(images | values))


def test_the_method_of_a_manifest(images):
    network = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU())
    named = {"_target_": "naflow.NAFlow", "preset": "damped", "damping": 0.5}
    explainer = recorded.method(manifest(images, named))(network)
    assert isinstance(explainer, NAFlow) and explainer.config.damping == 0.5
    with pytest.raises(BadInput, match="'nonesuch'"):
        recorded.method(manifest(images, named | {"preset": "nonesuch"}))(network)


def test_every_choice_of_conf_can_be_named():
    assert recorded.choices("images") == {
        "pipeline.pictures.images.Folder",
        "pipeline.pictures.imagenet.ImageNet",
    }
    assert "naflow.NAFlow" in recorded.choices("method")


def poisoned(folder, group, settings):
    path = folder / "manifest.json"
    about = json.loads(path.read_text())
    about["settings"][group] = {"name": "x"} | settings
    path.write_text(json.dumps(sealed(about)))


def test_no_stage_runs_what_a_manifest_names(config, images, tmp_path, monkeypatch):
    """os.system in the place of the pictures, through every stage that reads maps."""
    mark = tmp_path / "mark"
    for name in ("system", "popen"):
        monkeypatch.setattr(os, name, lambda *_: mark.touch())
    monkeypatch.setattr(builtins, "eval", lambda *_: mark.touch())
    cfg = config("figure=fig04", "methods=naflow", "++report.all=true")
    folder = tmp_path / "results" / "maps" / "resnet18" / "naflow"
    cfg.figures.fig04.model = cfg.figures.fig04.beside = "resnet18"
    made(folder, images, [CASE])
    chosen = Chosen(Decision(CASE.picture, CASE.picture, "disc", "disc", 0.5))
    selected = tmp_path / "results" / "selected" / "resnet18" / "fig04.json"
    write(selected, Selection("fig04", "resnet18", "a rule", True, (chosen,), {}))
    poisoned(folder, "images", hostile(mark)[0])
    for run in (evaluate.evaluate, report.report, figure.draw, montage.montage):
        with pytest.raises(BadInput, match=r"settings\.images: 'os\.system' is named by no file"):
            run(cfg)
    assert not mark.exists()


def test_the_worked_example_runs_no_code_of_a_manifest(images, tmp_path):
    mark = tmp_path / "mark"
    folder = tmp_path / "resnet18" / "naflow"
    made(folder, images, [CASE])
    poisoned(folder, "method", hostile(mark)[0])
    found = {"naflow": maps.load(folder)}
    chosen = Chosen(Decision(CASE.picture, CASE.picture, "disc", "disc", 0.5))
    material = Material(Selection("fig02", "resnet18", "", True, (chosen,)), found, found)
    with pytest.raises(BadInput, match=r"settings\.method: 'os\.system' is named by no file"):
        draw(material, [], "naflow")
    assert not mark.exists()
    poisoned(folder, "method", {"_target_": "naflow.explainers.GradCAM"})
    about = json.loads((folder / "manifest.json").read_text())
    del about["settings"]["method"]["name"]
    (folder / "manifest.json").write_text(json.dumps(sealed(about)))
    found["naflow"] = maps.load(folder)
    with pytest.raises(BadInput, match="abandons no neurons"):
        draw(Material(material.selection, found, found), [], "naflow")
    assert torch.is_grad_enabled()
