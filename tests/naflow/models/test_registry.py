"""The registry: names, cards, settings, and files that fit or do not."""

from __future__ import annotations

import json
import sys
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from naflow import BadInput, models


def test_names_and_cards() -> None:
    names = models.list_models()
    assert len(names) == len(set(names)) >= 10
    for name in names:
        card = models.card(name)
        assert card.name == name
        assert f"{card.parameters:,}" in str(card) and card.gate in str(card)
        assert card.paper and card.licence and card.task and card.input.size in (84, 224)
        for weights in card.weights:
            assert weights.address.startswith("https://") and weights.address in str(card)
            assert weights.sha256 is None or len(weights.sha256) == 64
    assert [n for n in names if not models.card(n).weights] == [
        "conv64f",
        "conv4net",
        "resnet50_ms",
    ]
    with pytest.raises(FrozenInstanceError):
        models.card("resnet18").gate = ""  # type: ignore[misc]


def test_table_has_a_line_for_each() -> None:
    head, rule, *lines = models.table().splitlines()
    assert head.split() == ["name", "network", "parameters", "weights", "gate"]
    assert set(rule) == {"-"}
    assert [line.split()[0] for line in lines] == models.list_models()


def test_an_unknown_name_or_setting_answers_with_near_ones() -> None:
    with pytest.raises(BadInput, match=r"no model 'resnet50-cbam'\. Did you mean 'resnet50_cbam'"):
        models.create("resnet50-cbam")
    with pytest.raises(BadInput, match=r"conv4net has no setting 'slop'\. Did you mean 'slope'"):
        models.create("conv4net", slop=0.1)


def test_without_torchvision_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    monkeypatch.delitem(sys.modules, "naflow.models.resnet", raising=False)
    with pytest.raises(BadInput, match=r"resnet18 is built from torchvision.*naflow\[pipeline\]"):
        models.create("resnet18")
    models.create("conv4net")  # needs torch alone


def test_without_safetensors_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(BadInput, match=r"safetensors, which is not installed"):
        models.create("conv4net", tmp_path / "w.safetensors")


def test_convert_once_and_create_from_safetensors(tmp_path: Path) -> None:
    model = models.create("conv64f", bias=False, slope=0.3)
    source, target = tmp_path / "w.pt", tmp_path / "new" / "w.safetensors"
    torch.save(model.state_dict(), source)
    models.convert("conv64f", source, target, slope=0.3)
    assert [p.name for p in target.parent.iterdir()] == ["w.safetensors"]
    with safe_open(target, "pt") as file:
        about = json.loads(file.metadata()["naflow"])
    assert about["model"] == "conv64f" and len(about["source_sha256"]) == 64
    assert about["settings"] == {"bias": False, "slope": 0.3}
    again = models.create("conv64f", target)  # with the settings that the file tells
    assert again.block1.act.negative_slope == 0.3
    for key, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[key], value), key
    assert models.create("conv64f", target, slope=0.1).block1.act.negative_slope == 0.1
    with pytest.raises(BadInput, match="holds weights of conv64f, not of conv4net"):
        models.create("conv4net", target)
    with pytest.raises(BadInput, match=r"weights are written as \.safetensors"):
        models.convert("conv64f", source, tmp_path / "w.bin")


def test_weights_that_do_not_fit_are_named(tmp_path: Path) -> None:
    state = models.create("resnet18").state_dict()
    path = tmp_path / "w.safetensors"

    def refuse(changed: dict[str, torch.Tensor]) -> str:
        save_file(changed, path)
        with pytest.raises(BadInput) as info:
            models.create("resnet18", path)
        return str(info.value)

    lacking = refuse({k: v for k, v in state.items() if not k.startswith("fc")})
    assert "w.safetensors does not fit resnet18: it lacks fc.weight, fc.bias. Build" in lacking
    extra = refuse(state | {f"extra{i}": torch.zeros(1) for i in range(5)})
    assert "beyond the model's, extra0, extra1, extra2 and 2 more" in extra
    head = refuse(state | {"fc.weight": torch.zeros(10, 512), "fc.bias": torch.zeros(10)})
    assert "fc.weight ((10, 512), not (1000, 512))" in head
    assert "Build resnet18 with the settings it was trained with (classes)." in head
    other = refuse({"block1.conv.weight": torch.zeros(64, 3, 3, 3)})
    assert "the file of another network" in other


def test_files_that_are_missing_or_damaged(tmp_path: Path) -> None:
    for name in ("w.safetensors", "w.pth"):
        path = tmp_path / name
        with pytest.raises(BadInput, match="no such file"):
            models.create("conv4net", path)
        path.write_bytes(b"not weights at all, but text")
        with pytest.raises(BadInput, match=r"damaged|not read"):
            models.create("conv4net", path)
