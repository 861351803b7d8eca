"""Files of weights: what is in them, read without running code, and how ours are written."""

from __future__ import annotations

import json
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from naflow.atomic import replacing
from naflow.errors import BadInput

# What numpy arrays need; files name numpy's internals as they were before version 2.
_RECONSTRUCT = np.empty(0).__reduce__()[0]
_SCALAR = np.float64(0).__reduce__()[0]
_NUMPY: list[Any] = [
    np.ndarray,
    np.dtype,
    *[type(np.dtype(kind)) for kind in ("f2", "f4", "f8", "i4", "i8")],
    *[
        (function, f"numpy.{core}.multiarray.{name}")
        for core in ("core", "_core")
        for function, name in ((_RECONSTRUCT, "_reconstruct"), (_SCALAR, "scalar"))
    ],
]


ABOUT = "naflow"  # the entry of a safetensors file that holds what is told of its tensors


def require(path: Path) -> None:
    """Raise BadInput where there is no such file."""
    if not path.is_file():
        raise BadInput(f"{path}: there is no such file of weights.")


def load(path: Path) -> object:
    """The content of a file of torch.save: tensors, arrays, numbers, text, and containers of them.

    Raises BadInput for a file that is missing, damaged, or holds anything else.
    """
    require(path)
    try:
        with torch.serialization.safe_globals(_NUMPY), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "looks like TorchScript" comes before its refusal
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise BadInput(
            f"{path} holds more than tensors and was not read ({_reason(error)}): ask its authors "
            "for a state dict, or for safetensors."
        ) from None
    except Exception as error:  # a damaged file can raise anything
        raise BadInput(f"{path} is damaged or no file of weights ({_reason(error)}).") from None


def load_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors, and what is told of them, {} where nothing is.

    Raises BadInput for a file that is missing or damaged, or without the package.
    """
    try:
        from safetensors import SafetensorError, safe_open
    except ModuleNotFoundError:
        raise BadInput(_NEEDS_SAFETENSORS) from None
    require(path)
    try:
        with safe_open(path, framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return state, json.loads((file.metadata() or {}).get(ABOUT, "{}"))
    except (SafetensorError, OSError, ValueError) as error:
        raise BadInput(f"{path} is damaged or no safetensors file ({_reason(error)}).") from None


def save_safetensors(path: Path, state: Mapping[str, Tensor], about: Mapping[str, object]) -> None:
    """Write tensors and something about them, as JSON has it, whole or not at all.

    The same content gives the same bytes.

    Raises BadInput for another ending than .safetensors, or without the package.
    """
    try:
        from safetensors.torch import save
    except ModuleNotFoundError:
        raise BadInput(_NEEDS_SAFETENSORS) from None
    if path.suffix != ".safetensors":
        raise BadInput(f"{path}: weights are written as .safetensors.")
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    with replacing(path) as partial:
        # One entry only: the format does not fix the order of several.
        partial.write_bytes(save(tensors, {ABOUT: json.dumps(about, sort_keys=True)}))


_NEEDS_SAFETENSORS = (
    "Files of weights are kept as safetensors, which is not installed: "
    "pip install 'naflow[pipeline]'."
)


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    refused = [line for line in lines if "GLOBAL" in line]  # torch buries what it refused
    return (refused or lines or [type(error).__name__])[0]
