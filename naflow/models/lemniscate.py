"""Read NPID's published checkpoints without running anything that they name.

Such a file is a pickle in torch's old format (before zip files) that contains a module of the
authors' code. So torch.load(weights_only=True) refuses it, and torch.load(weights_only=False) would
import and call what the file names. Here the pickle may use only a fixed list of names, and none of
them resolves to torch's code: a tensor is only described (storage, size, strides), classes are
empty stand-ins made for each file, and any other name is refused. The tensors are then read from
the bytes after the pickle, within their bounds.

The format: five pickles (a magic number, a version, facts of the machine, the checkpoint, the keys
of the storages in order), then every storage as its length (8 bytes, little endian) and its data.
A hostile file can still take much time and memory.
"""

from __future__ import annotations

import math
import pickle
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from naflow.errors import BadInput
from naflow.models.checkpoint import require

_MAGIC, _VERSION = 0x1950A86A20F9469CFC6C, 1001
_DTYPES = {
    "HalfStorage": np.float16,
    "FloatStorage": np.float32,
    "DoubleStorage": np.float64,
    "ByteStorage": np.uint8,
    "IntStorage": np.int32,
    "LongStorage": np.int64,
}
_STAND_INS = (
    ("torch._utils", "_rebuild_tensor"),
    ("torch._utils", "_rebuild_tensor_v2"),
    ("lib.NCEAverage", "NCEAverage"),
    ("lib.alias_multinomial", "AliasMethod"),
    ("torch.nn.backends.thnn", "_get_thnn_function_backend"),
)


@dataclass(frozen=True)
class Storage:
    """A reference to the numbers from `offset` on in the storage with this key."""

    key: str
    offset: int


class Refused(pickle.UnpicklingError):
    """The pickle names something that is not on the list."""


@dataclass(frozen=True)
class Checkpoint:
    """The content of a checkpoint.

    state   the network's tensors, as the file names them
    memory  the memory bank, (images, 128)
    """

    state: dict[str, Tensor]
    memory: Tensor


def read(path: Path) -> Checkpoint:
    """Read a checkpoint. Raises BadInput for a file that is missing, damaged, no such checkpoint,
    or that names code."""
    require(path)
    try:
        with path.open("rb") as file:
            if _Unpickler(file).load() != _MAGIC or _Unpickler(file).load() != _VERSION:
                raise ValueError("it does not begin as torch's old format does")
            if not _Unpickler(file).load()["little_endian"]:
                raise ValueError("it was written on a big-endian machine")
            unpickler = _Unpickler(file)
            content = unpickler.load()
            keys = _Unpickler(file).load()
            data = _Data(path, file.tell(), [(key, unpickler.dtypes[key]) for key in keys])
        state = {str(name): data.tensor(value) for name, value in content["state_dict"].items()}
        memory = data.tensor(vars(content["lemniscate"])["_buffers"]["memory"])
        if memory.ndim != 2 or not memory.isfinite().all():
            raise ValueError("its memory bank is no table of finite numbers")
    except Refused as refused:
        raise BadInput(
            f"{path} asks for {refused}, which no file of weights needs. It was refused and "
            "nothing of it has run: do not open it by other means."
        ) from None
    except Exception as error:  # a damaged pickle can raise anything
        raise BadInput(
            f"{path} is damaged or no checkpoint of NPID ({type(error).__name__}: {error})."
        ) from None
    return Checkpoint(state, memory)


class _Unpickler(pickle.Unpickler):
    """Resolves only the names on the list. Stand-ins are new for every pickle, so nothing that it
    sets on them remains. dtypes: of every storage that the pickle mentions, by key."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, encoding="latin1")
        self.dtypes: dict[str, Any] = {}
        self._words: dict[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("builtins", "set"): set,
            ("__builtin__", "set"): set,
            **{word: _stand_in(word[1]) for word in _STAND_INS},
        }
        for name, dtype in _DTYPES.items():
            self._words["torch", name] = self._words["torch.cuda", name] = dtype

    def find_class(self, module_name: str, global_name: str) -> Any:
        if (module_name, global_name) not in self._words:
            raise Refused(f"{module_name}.{global_name}")
        return self._words[module_name, global_name]

    def persistent_load(self, pid: Any) -> Any:
        kind, *rest = pid
        if kind == "module":  # (class, file, source): the class is a stand-in already
            return rest[0]
        if kind != "storage":
            raise pickle.UnpicklingError(f"unknown reference {kind!r}")
        dtype, key, _, _, view = rest
        if not any(dtype is known for known in _DTYPES.values()):
            raise pickle.UnpicklingError("a storage of unknown type")
        self.dtypes[key] = dtype
        return Storage(key, 0 if view is None else int(view[1]))


def _stand_in(name: str) -> type:
    """Return a class without behaviour; its instances store the arguments of their call."""

    def new(cls: type, *args: Any) -> Any:
        made = object.__new__(cls)
        vars(made)["arguments"] = args
        return made

    return type(name, (), {"__new__": new})


class _Data:
    """The storages after the pickles, in order; `tensor` copies one tensor out."""

    def __init__(self, path: Path, start: int, storages: list[tuple[str, Any]]) -> None:
        raw = np.memmap(path, np.uint8, mode="r")
        self._values: dict[str, np.ndarray] = {}
        for key, dtype in storages:
            count = int(raw[start : start + 8].view("<i8")[0])
            end = start + 8 + count * np.dtype(dtype).itemsize
            if not start + 8 <= end <= len(raw):
                raise ValueError("it ends too early")
            self._values[key] = raw[start + 8 : end].view(dtype)
            start = end

    def tensor(self, described: Any) -> Tensor:
        """Return the tensor that a stand-in describes: (storage, offset, size, strides, ...)."""
        storage, offset, size, strides = vars(described)["arguments"][:4]
        values = self._values[storage.key][storage.offset :]
        if math.prod(size) > len(values):
            raise ValueError("a tensor is larger than its storage")
        # as_strided refuses what would lie outside the storage.
        return torch.from_numpy(values.copy()).as_strided(size, strides, offset).contiguous()
