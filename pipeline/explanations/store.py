"""Finished maps as one chunked, compressed store, from which single maps can be read.

The folder maps.zarr holds the arrays of all parts (see pipeline.explanations.parts), each as one
array of all N cases. Maps, and other arrays with more than one number per case, have one chunk per
part, so the map of a case at a layer is read from one chunk. Text is stored as indices into the
distinct values, which are in the array's attributes.

Each chunk has a checksum, crc32c; the store's attributes have those of the arrays' descriptions and
their own. Reading a store with a changed bit or a missing file raises BadInput.

Needs the package zarr, of the extra `sweep`.
"""

import hashlib
import json
import math
import shutil
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, TypeGuard

import numpy as np

from naflow.errors import BadInput, near_names
from pipeline.atomic import read_json, replacing_folder
from pipeline.explanations.cases import Case

NAME = "maps.zarr"
_CODECS = ["bytes", "blosc", "crc32c"]  # of every array; zarr itself would run whatever it names


def exists(folder: Path) -> bool:
    """Whether the maps of a folder were merged into a store."""
    return (folder / NAME).exists()


def remove(folder: Path) -> None:
    """Remove a folder's store, if there is one."""
    if exists(folder):
        shutil.rmtree(folder / NAME)


def fingerprints(folder: Path) -> list[str]:
    """Return the fingerprints of the parts in the store; [] if there is no store."""
    return _attributes(folder / NAME).get("fingerprints", [])


def names(folder: Path) -> list[str]:
    """Return the names of the arrays in the store, as in a part; [] if there is no store."""
    return _attributes(folder / NAME).get("names", [])


def write(folder: Path, parts: Callable[[], Iterable[dict[str, np.ndarray]]]) -> None:
    """Write the arrays of parts, one part in memory at a time, as the folder's store, whole or not
    at all. All parts have the same length, except that the last may be shorter.

    parts is called twice: the new store is read back and compared before it replaces an old one.
    The caller must hold the folder's lock (pipeline.atomic.locked). Raises BadInput if what is read
    back differs.
    """
    with replacing_folder(folder / NAME) as partial:
        _write(partial, parts())
        written = Store(folder, partial.name)
        for number, part in enumerate(parts()):
            stored = written.part(number)
            if stored.keys() != part.keys() or not all(_same(stored[n], part[n]) for n in part):
                raise BadInput(
                    f"{folder / NAME}: part {number}, read back, differs from what was written. "
                    "The parts are kept; check the disk, then merge again."
                )


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two arrays are equal bit by bit; for text, letter by letter, as its width may
    differ."""
    if one.dtype.kind == other.dtype.kind == "U":
        return one.tolist() == other.tolist()
    alike = (one.dtype, one.shape) == (other.dtype, other.shape)
    return alike and one.tobytes() == other.tobytes()


def _write(place: Path, parts: Iterable[dict[str, np.ndarray]]) -> None:
    group = _zarr().open_group(place, mode="w")
    marks: list[str] = []
    columns: dict[str, list[np.ndarray]] = {}  # one number or word per case: kept in memory
    chunked: dict[str, Any] = {}
    for part in parts:
        marks.append(str(part["fingerprint"]))
        for name, values in part.items():
            if values.ndim == 1:
                columns.setdefault(name, []).append(values)
            elif name in chunked:
                chunked[name].append(values)
            elif values.ndim > 1:
                chunked[name] = _created(group, name, values)
    for name, pieces in columns.items():
        column = np.concatenate(pieces)
        if column.dtype.kind == "U":
            words, numbers = np.unique(column, return_inverse=True)
            _created(group, name, numbers.astype(np.uint32)).attrs["words"] = words.tolist()
        else:
            _created(group, name, column)
    size = len(next(iter(columns.values()))[0])
    names = [name for name in part if name != "fingerprint"]
    described = {name: _sha256((place / name / "zarr.json").read_bytes()) for name in names}
    about = {"fingerprints": marks, "names": names, "size": size, "described": described}
    group.attrs.update(about | {"sha256": _sha256(_canonical(about))})


class Store:
    """The store of a folder, open for reading.

    cases   (N,) what is explained
    layers  of the model, shallow to deep

    Raises BadInput if there is none, and, naming layer and pictures, if what is read is damaged.
    """

    def __init__(self, folder: Path | str, name: str = NAME) -> None:
        self._place = Path(folder) / name
        if not self._place.exists():
            raise BadInput(
                f"{folder} holds no {name}. Make it from finished parts: python -m pipeline.merge."
            )
        self._zarr = _zarr()
        self._about = _attributes(self._place)
        self.layers = [
            name.removeprefix("map/") for name in self._about["names"] if name.startswith("map/")
        ]

    @cached_property
    def cases(self) -> list[Case]:
        pairs = zip(self.array("pictures"), self.array("references"), strict=True)
        return [Case(str(picture), str(reference)) for picture, reference in pairs]

    def map(self, case: Case, layer: str) -> np.ndarray:
        """Return the raw map (h, w) of a case at a layer, reading one chunk. Raises BadInput, with
        similar names, for an unknown case or layer."""
        if layer not in self.layers:
            raise BadInput(
                f"{self._place}: there is no layer {layer!r}.{near_names(layer, self.layers)}"
            )
        if case not in self._rows:
            known = [one.picture for one in self.cases]
            raise BadInput(
                f"{self._place}: there is no case {case}.{near_names(case.picture, known)}"
            )
        row = self._rows[case]
        return self.array(f"map/{layer}", slice(row, row + 1))[0]

    def array(self, name: str, rows: slice = slice(None)) -> np.ndarray:
        """Return some rows, by default all, of an array (see pipeline.explanations.parts)."""
        stored = self._opened(name)
        first, last, _ = rows.indices(stored.shape[0])
        size = stored.chunks[0]
        numbers = range(first // size, -(-last // size)) if math.prod(stored.shape) else range(0)
        zeros = "." + ".".join("0" * (stored.ndim - 1)) if stored.ndim > 1 else ""
        place, unpacked = self._place / name, math.prod(stored.chunks) * stored.dtype.itemsize
        for number in numbers:  # for a missing chunk, zarr would return zeros
            chunk = place / f"c.{number}{zeros}"
            if not chunk.is_file():
                raise self._damaged(name, number * size, size, "a file is missing")
            if _unpacked(chunk) != unpacked:  # before memory is taken for it
                raise self._damaged(name, number * size, size, "it is of another size")
        try:
            values = stored[rows]
            return np.array(stored.attrs["words"])[values] if "words" in stored.attrs else values
        except MemoryError:
            raise
        except Exception as error:  # a damaged file can raise anything
            for number in numbers:
                try:
                    stored[number * size : (number + 1) * size]
                except Exception:
                    raise self._damaged(name, number * size, size, str(error)) from None
            raise self._damaged(name, 0, None, str(error)) from None

    def arrays(self, rows: slice = slice(None)) -> dict[str, np.ndarray]:
        """Return these rows of every array."""
        return {name: self.array(name, rows) for name in self._about["names"]}

    def part(self, number: int) -> dict[str, np.ndarray]:
        """Return the arrays of a part, with its fingerprint, as they were written."""
        size = self._about["size"]
        rows = slice(number * size, (number + 1) * size)
        return {"fingerprint": np.array(self._about["fingerprints"][number])} | self.arrays(rows)

    @cached_property
    def _rows(self) -> dict[Case, int]:
        return {case: row for row, case in enumerate(self.cases)}

    def _opened(self, name: str) -> Any:
        """Open an array, after checking that its description is unchanged."""
        place = self._place / name
        described = place / "zarr.json"
        content = described.read_bytes() if described.is_file() else b""
        if _sha256(content) != self._about["described"][name]:
            raise self._damaged(name, 0, None, "its description was changed or removed")
        try:  # of format 2, whose filters may unpickle, nothing is read
            if [one["name"] for one in json.loads(content)["codecs"]] != _CODECS:
                raise ValueError("it is packed in another way")
            return self._zarr.open_array(place, mode="r", zarr_format=3)
        except Exception as error:  # it may say anything: deep JSON is a RecursionError
            raise self._damaged(name, 0, None, str(error)) from None

    def _damaged(self, name: str, row: int, rows: int | None, why: str) -> BadInput:
        """Return the error for `rows` rows of an array from `row` on; None: all of them."""
        kind, _, layer = name.partition("/")
        whose = f"layer {layer!r}" if layer else f"the array {name!r}"
        if layer and kind != "map":
            whose += f" ({kind})"
        if name not in ("pictures", "references"):  # these hold the names
            keys = [case.picture for case in self.cases[row:][:rows]]
            whose += f", pictures {keys[0]!r} to {keys[-1]!r}"
        return _refused(self._place, f"{whose}: {why}")


def _refused(place: Path, why: str) -> BadInput:
    return BadInput(
        f"{place} is damaged: {why}. Delete that folder and run the command of explain "
        "again; if it was of several shards, python -m pipeline.merge is the end."
    )


def _unpacked(chunk: Path) -> int:
    """Return the bytes that a chunk says it unpacks to, as blosc writes it at its beginning."""
    with chunk.open("rb") as file:
        return int.from_bytes(file.read(8)[4:], "little")


def _created(group: Any, name: str, values: np.ndarray) -> Any:
    """Create an array with these values as its first chunk, compressed without loss."""
    codecs = _zarr().codecs
    return group.create_array(
        name,
        data=values,
        chunks=tuple(max(1, side) for side in values.shape),
        compressors=(
            codecs.BloscCodec(cname="zstd", clevel=1, shuffle=codecs.BloscShuffle.shuffle),
            codecs.Crc32cCodec(),
        ),
        chunk_key_encoding={"name": "default", "separator": "."},  # a file per chunk, no folders
        config={"write_empty_chunks": True},  # -0.0 is not 0.0
    )


def _attributes(place: Path) -> dict:
    """Return the attributes of a store, read as plain JSON without zarr; {} if there is no store.
    Raises BadInput if they were changed."""
    if not place.exists():
        return {}
    try:
        about = dict(read_json(place / "zarr.json")["attributes"])
        checksum = about.pop("sha256")
    except (OSError, ValueError, KeyError, TypeError):
        raise _refused(place, "its zarr.json is no description with a checksum") from None
    if _sha256(_canonical(about)) != checksum:
        raise _refused(place, "its zarr.json was changed")
    if not _is_description(about):
        raise _refused(place, "its zarr.json describes no arrays of maps")
    return about


def _is_description(about: dict) -> bool:
    """Whether this can be what `_write` says of a store: of arrays inside it, each with a sum."""
    names, described = about.get("names"), about.get("described")
    if not _are_texts(names) or not _are_texts(about.get("fingerprints")):
        return False
    inside = not any(name.startswith("/") or ".." in name.split("/") for name in names)
    sums = isinstance(described, dict) and described.keys() >= {*names, "pictures", "references"}
    return inside and sums and type(about.get("size")) is int and about["size"] > 0


def _are_texts(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _canonical(about: dict) -> bytes:
    return json.dumps(about, sort_keys=True).encode()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _zarr() -> ModuleType:
    """Import zarr, which only merged maps need."""
    try:
        import zarr
        import zarr.codecs
    except ModuleNotFoundError:
        raise BadInput(f"{NAME} needs the package zarr: pip install 'naflow[sweep]'.") from None
    return zarr
