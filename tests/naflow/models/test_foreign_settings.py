"""What a repository's own settings and page may say, and what they may not: they are data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from loopback_hub import publish_small
from safetensors.torch import save_file

from naflow import BadInput, models
from naflow.models import origins
from naflow.models.origins import bounded

SIZE = 64
ODD = (None, -1, "x", [[1]], {"a": 1})


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A small ResNet of transformers, in a folder."""
    told = {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": SIZE}}
    told |= {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]}
    return publish_small(tmp_path, told, "mit")


@pytest.fixture
def of_timm(tmp_path: Path) -> Path:
    """A small network of timm, in a folder."""
    timm = pytest.importorskip("timm")
    network = timm.create_model("test_resnet", num_classes=3)
    folder = tmp_path / "timm"
    folder.mkdir()
    save_file(network.state_dict(), folder / "model.safetensors")
    told = {"input_size": [3, SIZE, SIZE], "classifier": "fc", "num_classes": 3}
    config = {"architecture": "test_resnet", "num_classes": 3, "pretrained_cfg": told}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def change(folder: Path, changed: dict[str, Any]) -> None:
    config = json.loads((folder / "config.json").read_text())
    kept = {name: value for name, value in config.items() if "dtype" not in name}
    (folder / "config.json").write_text(json.dumps(kept | changed))


def test_a_network_without_end_is_refused_while_it_is_built(
    small: Path, of_timm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded, "TENSORS", 200)
    change(small, {"depths": [1 << 20, 1]})
    origin = origins.origin(f"hf:{small}")
    with pytest.raises(BadInput, match="more than 200 tensors"):
        origin.network(None)
    with pytest.raises(BadInput, match="more than 200 tensors"):
        models.pretrained(f"hf:{small}")
    change(of_timm, {"model_args": {"layers": [1 << 20, 1, 1, 1]}})
    with pytest.raises(BadInput, match="more than 200 tensors"):
        origins.origin(f"hf:{of_timm}").network(None)


def test_a_number_that_no_network_has_is_refused_before_anything_is_built(
    small: Path, of_timm: Path
) -> None:
    for folder in (small, of_timm):
        for changed in ({"depths": [1 << 31, 1]}, {"model_args": {"layers": [[-(1 << 40)]]}}):
            change(folder, changed)
            with pytest.raises(BadInput, match="holds numbers above 16,777,216"):
                origins.origin(f"hf:{folder}")


def test_a_network_larger_than_the_machine_is_refused_before_its_memory_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bounded, "_memory", lambda: 4000)
    with bounded.bounded("hf:a/b"):
        torch.nn.Linear(10, 10)
        with pytest.raises(BadInput, match=r"^hf:a/b: .* or 4,000 bytes"):
            torch.nn.Linear(10, 100)
    torch.nn.Linear(10, 1000)  # afterwards nobody counts


@pytest.mark.parametrize("name", ["hidden_sizes", "layer_type"])
def test_settings_that_build_no_network_are_a_sentence(small: Path, name: str) -> None:
    for value in ODD:
        change(small, {name: value})
        origin = origins.origin(f"hf:{small}")
        with pytest.raises(BadInput, match=r"its config\.json is not usable"):
            origin.network(None)
        with pytest.raises(BadInput, match="cannot be loaded by transformers"):
            models.pretrained(f"hf:{small}")


def test_quantized_weights_are_refused_by_name(small: Path) -> None:
    change(small, {"quantization_config": {"quant_method": "gptq"}})
    with pytest.raises(BadInput, match="its weights are quantized"):
        models.pretrained(f"hf:{small}")


def test_settings_choose_neither_numbers_nor_kernels(small: Path) -> None:
    image = torch.ones(1, 3, SIZE, SIZE)
    expected = models.pretrained(f"hf:{small}").network(image).logits
    for changed in (
        {"dtype": "float16"},
        {"torch_dtype": "bfloat16"},
        {"attn_implementation": "some/kernels"},
    ):
        change(small, changed)
        origin = origins.origin(f"hf:{small}")
        assert origin.network(None)(image).logits.dtype == torch.float32
        found = models.pretrained(f"hf:{small}").network(image).logits
        torch.testing.assert_close(found, expected, rtol=0, atol=0)


def laughs(depth: int = 30) -> str:
    """YAML of a few hundred bytes that would be gigabytes as text."""
    lines = ["l0: &l0 x"]
    lines += [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, depth)]
    return "\n".join([*lines, f"license: *l{depth - 1}"])


def test_a_hostile_page_tells_no_licence(small: Path) -> None:
    told = origins.origin(f"hf:{small}").published
    assert told is not None and told.fetch().licence == "mit"
    for page in (
        laughs(),
        "license: [",
        "license: !!python/object/apply:os.getcwd []",
        "[" * 9999,
        "- mit",
    ):
        (small / "README.md").write_text(f"---\n{page}\n---\n")
        assert told.fetch().licence == ""


@pytest.mark.parametrize("arguments", [{"pretrained_strict": False}, {"num_classes": 7}])
def test_nothing_stays_random_where_the_settings_want_it_so(
    of_timm: Path, arguments: dict[str, Any]
) -> None:
    state = models.pretrained(f"hf:{of_timm}").network.state_dict()
    save_file({n: v for n, v in state.items() if n != "fc.bias"}, of_timm / "model.safetensors")
    change(of_timm, {"model_args": arguments})
    with pytest.raises(BadInput, match=f"{next(iter(arguments))}.*not for it to say"):
        models.pretrained(f"hf:{of_timm}")


def of_timm_changed(folder: Path, told: dict[str, Any]) -> dict[str, torch.Tensor] | str:
    """The tensors of the network with these settings, or the sentence that refuses them."""
    (folder / "config.json").write_text(json.dumps(told))
    try:
        return models.pretrained(f"hf:{folder}").network.state_dict()
    except BadInput as error:
        return str(error)


def test_odd_settings_of_timm_are_a_sentence_or_change_nothing(of_timm: Path) -> None:
    config = json.loads((of_timm / "config.json").read_text())
    expected = of_timm_changed(of_timm, config)
    assert isinstance(expected, dict)
    inner = ("input_size", "crop_mode", "crop_pct", "mean", "classifier")
    refused = 0
    for name in (*config, "model_args", "label_names", *inner):
        for value in ODD:
            told = config | {name: value}
            if name in inner:
                told = config | {"pretrained_cfg": config["pretrained_cfg"] | {name: value}}
            found = of_timm_changed(of_timm, told)
            if isinstance(found, str):
                refused += 1
                assert str(of_timm) in found, (name, value)
            else:
                assert all(found[n].equal(expected[n]) for n in expected), (name, value)
    assert refused > 10
