"""Reads the reference numbers of the authors' released code and rebuilds their networks."""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from conftest import shared
from torch import Tensor, nn

GOLDEN = Path(__file__).parent / "golden"
NETWORKS = [
    "a1_plain_seeded",
    "b1_complex_seeded",
    "b3a_lost_modules",
    "b3c_q_equals_numx",
    "d_alexnet64",
    "e1_bn_seeded",
]
_SETTINGS = {
    "Conv2d": ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation",
               "groups", "bias"),
    "ReLU": ("inplace",),
    "MaxPool2d": ("kernel_size", "stride", "padding", "dilation", "ceil_mode"),
    "BatchNorm2d": ("num_features", "eps"),
    "Linear": ("in_features", "out_features", "bias"),
    "Dropout": ("p",),
}  # fmt: skip


class Classifier(nn.Module):
    """features -> flatten -> classifier, as the released AlexNet."""

    def __init__(self, features: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.features, self.classifier = features, classifier

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).flatten(1))


@dataclass
class Golden:
    data: dict[str, np.ndarray]
    model: nn.Module
    images: Tensor

    def tensor(self, key: str) -> Tensor:
        return torch.from_numpy(np.asarray(self.data[key])).double()

    def count(self, variant: str) -> int:
        return sum(key.startswith(f"{variant}/rawmap/") for key in self.data)


def numbers(name: str) -> dict[str, np.ndarray]:
    """A file of ./golden; AlexNet's is too large for it and optional."""
    path = GOLDEN / f"{name}.npz"
    path = path if path.exists() else shared("golden", path.name)
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def load(name: str, dtype: torch.dtype) -> Golden:
    data = numbers(name)
    blocks: dict[str, OrderedDict] = {"features": OrderedDict(), "classifier": OrderedDict()}
    for layer in json.loads(str(data["arch"])):
        settings = {k: _tuple(layer[k]) for k in _SETTINGS[layer["type"]] if k in layer}
        blocks[layer["block"]][str(layer["index"])] = getattr(nn, layer["type"])(**settings)
    model = Classifier(*(nn.Sequential(block) for block in blocks.values()))
    state = {k[2:]: torch.from_numpy(data[k]) for k in data if k.startswith("w/")}
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and all("num_batches" in key for key in missing), (missing, unexpected)
    return Golden(data, model.to(dtype).eval(), torch.from_numpy(data["x"]).to(dtype))


def _tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value
