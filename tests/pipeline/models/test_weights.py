"""Weights: a round trip, a start for other training, and one sentence for what does not fit."""

import json

import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import save_file
from torchvision.models import resnet18

import naflow.models
from naflow.errors import BadInput
from pipeline.models import weights

CPU = torch.device("cpu")


def model(path, labels=None, name="resnet18"):
    network = {"_target_": "naflow.models.create", "name": name}
    return OmegaConf.create(
        {"name": name, "network": network, "weights": str(path), "labels": labels}
    )


def test_round_trip_keeps_weights_classes_and_bytes(tmp_path):
    network = resnet18(num_classes=3)
    for name in ("a", "b"):
        weights.save(tmp_path / f"{name}.safetensors", "resnet18", network, ["x", "y", "z"])
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    loaded = weights.load(model(tmp_path / "a.safetensors"), CPU)
    assert loaded.classes == ["x", "y", "z"]
    assert not loaded.network.training
    for name, value in loaded.network.state_dict().items():
        torch.testing.assert_close(value, network.state_dict()[name], atol=0, rtol=0)


def test_the_library_reads_the_same_file(tmp_path):
    network = resnet18(num_classes=3)
    weights.save(tmp_path / "a.safetensors", "resnet18", network, ["x", "y", "z"])
    read = naflow.models.create("resnet18", tmp_path / "a.safetensors")
    torch.testing.assert_close(read.fc.weight, network.fc.weight, atol=0, rtol=0)


def test_an_embedding_has_no_classes(tmp_path):
    network = naflow.models.create("conv4net")
    weights.save(tmp_path / "a.safetensors", "conv4net", network, None)
    assert weights.load(model(tmp_path / "a.safetensors", name="conv4net"), CPU).classes is None


def test_a_state_dict_in_half_precision_with_a_file_of_labels(tmp_path):
    torch.save(resnet18(num_classes=2).half().state_dict(), tmp_path / "w.pt")
    (tmp_path / "labels.txt").write_text("cat\ndog\n")
    loaded = weights.load(model(tmp_path / "w.pt", tmp_path / "labels.txt"), CPU)
    assert loaded.classes == ["cat", "dog"]
    assert loaded.network.fc.weight.dtype == torch.float32


def test_what_does_not_fit(tmp_path):
    with pytest.raises(BadInput, match=r"there is no such file\. Train it"):
        weights.load(model(tmp_path / "none.safetensors"), CPU)
    for ending in ("safetensors", "pt"):
        (tmp_path / f"bad.{ending}").write_bytes(b"not weights")
        with pytest.raises(BadInput, match=r"is damaged or no|was not read"):
            weights.load(model(tmp_path / f"bad.{ending}"), CPU)
    torch.save({"state_dict": {}}, tmp_path / "nested.pt")
    with pytest.raises(BadInput, match=r"no plain state dict: convert it"):
        weights.load(model(tmp_path / "nested.pt"), CPU)
    torch.save(resnet18(num_classes=2).state_dict(), tmp_path / "w.pt")
    with pytest.raises(BadInput, match=r"does not fit resnet18 with its own settings.*fc.weight"):
        weights.load(model(tmp_path / "w.pt"), CPU)
    (tmp_path / "labels.txt").write_text("a\nb\nc\n")
    with pytest.raises(BadInput, match=r"does not fit resnet18 with .*3.*fc.weight"):
        weights.load(model(tmp_path / "w.pt", tmp_path / "labels.txt"), CPU)
    with pytest.raises(BadInput, match=r"model.labels=.*no such file"):
        weights.load(model(tmp_path / "w.pt", tmp_path / "lost.txt"), CPU)


def test_a_start_takes_all_but_the_layers_named(tmp_path):
    source, network = resnet18(num_classes=3), resnet18(num_classes=5)
    own = network.fc.weight.clone()
    weights.save(tmp_path / "a.safetensors", "resnet18", source, ["x", "y", "z"])
    weights.begin_from(network, tmp_path / "a.safetensors", ["fc"])
    torch.testing.assert_close(network.layer4[1].conv2.weight, source.layer4[1].conv2.weight)
    torch.testing.assert_close(network.fc.weight, own, atol=0, rtol=0)


def test_a_start_of_another_network_is_refused(tmp_path):
    weights.save(tmp_path / "a.safetensors", "conv4net", naflow.models.create("conv4net"), None)
    with pytest.raises(BadInput, match=r"no start for this network: '.*' is only in one of them"):
        weights.begin_from(resnet18(), tmp_path / "a.safetensors", ["fc"])
    weights.save(tmp_path / "b.safetensors", "resnet18", resnet18(num_classes=3), ["x"] * 3)
    with pytest.raises(BadInput, match=r"no start for this network: fc.* is of shape"):
        weights.begin_from(resnet18(), tmp_path / "b.safetensors", [])


CODE = "__import__('pathlib').Path({!r}).touch()"


@pytest.mark.parametrize(
    "settings",
    [
        {"classes": {"_target_": "sympy.sympify", "a": CODE}},
        {"classes": {"_target_": "pathlib.Path.write_text", "_args_": [{"_target_": "x"}, CODE]}},
        {"classes": [{"_target_": "pandas.read_pickle", "filepath_or_buffer": CODE}]},
        {"_target_": "sympy.sympify", "a": CODE},
        {"_args_": [CODE], "_target_": "sympy.sympify"},
        {"_partial_": True},
        {"_recursive_": True, "classes": 3},
        {"classes": "${oc.env:HOME}"},
        {"classes": "3"},
        {"classes": 10**12},
        {"classes": -3},
        {"weights": "elsewhere.pth"},
        {"name": "resnet50"},
    ],
)
def test_nothing_runs_from_the_settings_of_a_file(settings, tmp_path):
    mark, path = tmp_path / "mark", tmp_path / "w.safetensors"
    about = json.loads(json.dumps({"model": "resnet18", "settings": settings}))
    text = json.dumps(about).replace(CODE, CODE.format(str(mark)))
    save_file(resnet18(num_classes=3).state_dict(), path, {"naflow": text})
    with pytest.raises(BadInput, match=r"w\.safetensors.*(refused|setting|built|side of)") as error:
        weights.load(model(path), CPU)
    assert not mark.exists()
    assert "/root" not in str(error.value) and len(str(error.value)) < 500


def test_a_file_does_not_overrule_the_configuration(tmp_path):
    network = naflow.models.create("conv4net", slope=0.3)
    about = json.dumps({"settings": {"slope": 0.3}})
    save_file(network.state_dict(), tmp_path / "w.safetensors", {"naflow": about})
    asked = model(tmp_path / "w.safetensors", name="conv4net")
    assert weights.load(asked, CPU).network.block1.act.negative_slope == 0.3
    asked.network.slope = 0.3
    assert weights.load(asked, CPU).network.block1.act.negative_slope == 0.3
    asked.network.slope = 0.1
    with pytest.raises(BadInput, match=r"slope=0\.3, but model\.network\.slope=0\.1"):
        weights.load(asked, CPU)


def test_a_file_makes_no_other_network_fetch_weights(tmp_path):
    about = json.dumps({"settings": {"classes": 3, "encoder_weights": "imagenet"}})
    save_file({"a": torch.zeros(9)}, tmp_path / "w.safetensors", {"naflow": about})
    asked = model(tmp_path / "w.safetensors")
    asked.network = {
        "_target_": "segmentation_models_pytorch.Unet",
        "encoder_name": "resnet18",
        "encoder_weights": None,
    }
    with pytest.raises(BadInput, match=r"encoder_weights=imagenet, but model\.network"):
        weights.load(asked, CPU)
    asked.network = {"_target_": "torchvision.models.resnet18"}
    for settings, said in (({"weights": "DEFAULT"}, "'weights'"), ({"classes": 3}, "'classes'")):
        text = json.dumps({"settings": settings})
        save_file({"a": torch.zeros(9)}, tmp_path / "w.safetensors", {"naflow": text})
        with pytest.raises(BadInput, match=f"setting {said}"):
            weights.load(asked, CPU)


def test_labels_that_are_no_text(tmp_path):
    torch.save(resnet18(num_classes=2).state_dict(), tmp_path / "w.pt")
    (tmp_path / "labels.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(BadInput, match=r"model\.labels=.* is no UTF-8 text"):
        weights.load(model(tmp_path / "w.pt", tmp_path / "labels.txt"), CPU)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_by_name(tmp_path, value):
    network = naflow.models.create("conv4net")
    network.state_dict()["block2.conv.weight"].view(-1)[3] = value
    path = tmp_path / "a.safetensors"
    weights.save(path, "conv4net", network, None)
    told = r"a\.safetensors holds no usable weights: NaN or infinity is in block2\.conv\.weight"
    with pytest.raises(BadInput, match=told):
        weights.load(model(path, name="conv4net"), CPU)
    with pytest.raises(BadInput, match=told):
        weights.begin_from(network, path, [])
