"""Convert published checkpoints, each in its authors' layout, to state dicts of our networks.

A layout says where the tensors are in the file and how they are named. For all layouts, the prefix
`module.` of a network trained in parallel is removed, numpy arrays become tensors, and a batch
norm's `num_batches_tracked`, which files from before torch 0.4.1 lack, becomes 0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from naflow.errors import BadInput
from naflow.models import checkpoint, lemniscate

#: Entries that may hold the tensors; a file without any of these is itself a state dict.
_ENTRIES = ("state_dict", "model_state_dict", "model", "net")

# DN4 numbers its layers consecutively; blocks 1 and 2 have a pool, 3 and 4 have none.
_DN4 = {0: "1.conv", 1: "1.bn", 4: "2.conv", 5: "2.bn", 8: "3.conv", 9: "3.bn"}
_DN4 |= {11: "4.conv", 12: "4.bn"}

_CONV64F = tuple((rf"(?:features\.)+{i}\.", f"block{name}.") for i, name in _DN4.items())
# ProtoNet's Conv-4: encoder.<block>.<0 convolution, 1 batch norm>.
_CONV4NET = tuple(
    (rf"encoder\.{i}\.{j}\.", f"block{i + 1}.{layer}.")
    for i in range(4)
    for j, layer in enumerate(("conv", "bn"))
)
_VISSL = ((r"_feature_blocks\.", ""),)
_MULTI_SIMILARITY = (
    (r"backbone\.model\.fc\..*", None),  # ImageNet's, unused
    (r"backbone\.model\.", ""),
    (r"head\.fc\.", "fc."),
)
# EfficientNet-PyTorch numbers the blocks of all stages consecutively.
_LITE0_PARTS = {
    "_expand_conv": "expand.conv",
    "_bn0": "expand.norm",
    "_depthwise_conv": "depthwise.conv",
    "_bn1": "depthwise.norm",
    "_project_conv": "project.conv",
    "_bn2": "project.norm",
}
_LITE0_ENDS = {
    "_conv_stem": "stem.conv",
    "_bn0": "stem.norm",
    "_conv_head": "head.conv",
    "_bn1": "head.norm",
    "_fc": "classifier",
}
_LITE0 = (
    *((rf"{old}\.", f"{new}.") for old, new in _LITE0_ENDS.items()),
    *(
        (rf"_blocks\.{number}\.{old}\.", f"stages.{stage}.{block}.{new}.")
        for number, (stage, block) in enumerate(
            (stage, block)
            for stage, blocks in enumerate((1, 2, 2, 3, 3, 4, 1))
            for block in range(blocks)
        )
        for old, new in _LITE0_PARTS.items()
    ),
)

#: For each network, pairs (beginning of a name, its replacement); None: drop the tensor.
_RENAMED: dict[str, tuple[tuple[str, str | None], ...]] = {
    "resnet18_npid": _VISSL,
    "resnet50_npid": _VISSL,
    "conv64f": _CONV64F,
    "conv4net": _CONV4NET,
    "resnet50_ms": _MULTI_SIMILARITY,
    "efficientnet_lite0": _LITE0,
}


def read(path: Path, network: str) -> tuple[dict[str, Tensor], dict[str, object]]:
    """Return the state dict for a network of the registry from a file as its authors publish it,
    and the settings that its layout implies: DN4 of 2019 has no bias, ProtoNet has ReLU.

    Whether the tensors fit is not checked here. Raises BadInput for a file that is missing or
    damaged, that holds code, or that has no tensors in a known place.
    """
    try:
        content = checkpoint.load(path)
    except BadInput:
        if not network.endswith("_npid") or not path.is_file():
            raise
        content = lemniscate.read(path).state
    state: dict[str, Tensor] = {}
    tensors = _tensors(content, path)
    for name, value in tensors.items():
        new = _renamed(name.removeprefix("module."), _RENAMED.get(network, ()))
        if new in state:
            raise BadInput(f"{path} holds '{new}' twice, once as '{name}'.")
        if new is not None:
            state[new] = value
    for name in list(state):
        if name.endswith(".running_var"):
            counter = name.replace(".running_var", ".num_batches_tracked")
            state.setdefault(counter, torch.tensor(0))
    if network == "conv4net" and any(name.startswith("encoder.") for name in tensors):
        return state, {"slope": 0.0}
    if network == "conv64f" and "block1.conv.bias" not in state:
        return state, {"bias": False}
    return state, {}


def _tensors(content: object, path: Path) -> dict[str, Tensor]:
    if isinstance(content, Mapping):
        inner = next((content[e] for e in _ENTRIES if isinstance(content.get(e), Mapping)), content)
        state = {
            str(name): torch.from_numpy(value) if isinstance(value, np.ndarray) else value
            for name, value in inner.items()
        }
        if state and all(isinstance(value, Tensor) for value in state.values()):
            checkpoint.check_numbers(state, path)
            return state
    raise BadInput(
        f"{path} is no checkpoint: its tensors are expected at the top, or under "
        f"{', '.join(map(repr, _ENTRIES))}."
    )


def _renamed(name: str, rules: tuple[tuple[str, str | None], ...]) -> str | None:
    for pattern, new in rules:
        match = re.match(pattern, name)
        if match:
            return None if new is None else new + name[match.end() :]
    return name
