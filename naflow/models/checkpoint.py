"""Read files of weights without running code, and write safetensors."""

from __future__ import annotations

import json
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from naflow.atomic import replacing
from naflow.errors import BadInput
from naflow.models.settings import plain

# Names that pickled numpy arrays need, also as they were before numpy 2.
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


LONGEST = 1000  # letters of a class's name, which must fit into a drawing
ABOUT = "naflow"  # the metadata entry of a safetensors file that describes its tensors

_DIMENSIONS = 8
_REAL = {
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.bool),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8),
}


def require(path: Path) -> None:
    """Raise BadInput if there is no such file."""
    if not path.is_file():
        raise BadInput(f"{path}: there is no such file of weights.")


def load(path: Path) -> object:
    """Return the content of a file of torch.save: tensors, arrays, numbers, text, and containers of
    them.

    Raises BadInput for a file that is missing, damaged, or holds anything else.
    """
    require(path)
    try:
        check_archive(path)
        with torch.serialization.safe_globals(_NUMPY), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TorchScript gives a warning, then an error
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise BadInput(
            f"{path} holds more than tensors and was not read ({_asked(error)}): ask its authors "
            "for a state dict, or for safetensors."
        ) from None
    except Exception as error:  # a damaged file can raise anything
        raise BadInput(f"{path} is damaged or no file of weights ({_reason(error)}).") from None


def check_archive(path: Path) -> None:
    """Raise ValueError for a zip archive that is compressed or fails its checksums, which torch
    does not check."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if sum(one.file_size for one in members) > path.stat().st_size:
            raise ValueError("it is compressed, and would take more memory than its size")
        if changed := archive.testzip():
            raise ValueError(f"{changed} is not as it was saved")


def check_numbers(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Raise BadInput for a tensor that is sparse, quantized, complex, of floats below 16 bits,
    on the meta device, or of more dimensions than weights have."""
    for name, one in tensors.items():
        if one.layout != torch.strided or one.is_meta or one.dtype not in _REAL:
            kind = f"{one.dtype}, {one.layout}, {one.device}".replace("torch.", "")
            raise BadInput(f"{path}: {name!r} holds no plain real numbers ({kind}).")
        if one.ndim > _DIMENSIONS:
            raise BadInput(f"{path}: {name!r} has {one.ndim} dimensions; weights have a few.")


def load_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors of a file and its description, which may lack any of: `model`, `settings`
    (plain values, {} by default), `classes` (names or None), `source_sha256`.

    Raises BadInput for a file that is missing or damaged, or whose description has values of the
    wrong kind, and if safetensors is not installed.
    """
    try:
        from safetensors import safe_open
    except ModuleNotFoundError:
        raise BadInput(_NEEDS_SAFETENSORS) from None
    require(path)
    try:
        with safe_open(path, framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            text = (file.metadata() or {}).get(ABOUT, "{}")
    except Exception as error:  # a damaged file can raise anything
        raise BadInput(f"{path} is damaged or no safetensors file ({_reason(error)}).") from None
    check_numbers(state, path)
    return state, _about(text, state, path)


def _about(text: str, state: Mapping[str, Tensor], path: Path) -> dict[str, Any]:
    """Return a file's description of its tensors, checked."""
    where = f"{path}, metadata {ABOUT!r}"
    try:
        about = json.loads(text)
    except (ValueError, RecursionError):
        raise BadInput(f"{where}: this is no JSON that could be read. {_CONVERT}") from None
    if not isinstance(about, dict):
        raise BadInput(f"{where}: a JSON object is expected, not a {type(about).__name__}.")
    about["settings"] = plain(about.get("settings", {}), where)
    held = [tensor.shape for tensor in state.values() if tensor.numel()]
    largest = max((side for shape in held for side in shape), default=0)
    for name, value in about["settings"].items():
        if type(value) is int and value > largest:  # before memory is allocated for it
            raise BadInput(f"{where}: no tensor of the file has a side of {name}={value}.")
    for name in ("model", "source_sha256"):
        if not isinstance(about.get(name, ""), str):
            raise BadInput(f"{where}: {name!r} must be text. {_CONVERT}")
    classes = about.get("classes")
    names = isinstance(classes, list) and all(isinstance(one, str) for one in classes)
    if classes is not None and not names:
        raise BadInput(f"{where}: 'classes' must be a list of names. {_CONVERT}")
    if names and max(map(len, classes), default=0) > LONGEST:
        raise BadInput(f"{where}: a class has a name of more than {LONGEST} letters. {_CONVERT}")
    count = about["settings"].get("classes")
    if names and count not in (None, len(classes)):
        raise BadInput(f"{where}: it names {len(classes)} of {count} classes. {_CONVERT}")
    return about


def save_safetensors(path: Path, state: Mapping[str, Tensor], about: Mapping[str, object]) -> None:
    """Write tensors and their description, which must be JSON, whole or not at all.

    The same content gives the same bytes. Raises BadInput for a suffix other than .safetensors, and
    if safetensors is not installed.
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


_CONVERT = "Write the file again: naflow.models.convert."


def _asked(error: Exception) -> str:
    """Say what torch refused, without its advice to switch its protection off."""
    name = re.search(r"GLOBAL ([\w.]+)", str(error))
    return f"it names {name[1]}" if name else "its pickle asks for more than data"


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if any("weights_only" in line or "weights-only" in line for line in lines):
        return "TorchScript, or another archive that cannot be read as data alone"
    return (lines or [type(error).__name__])[0]
