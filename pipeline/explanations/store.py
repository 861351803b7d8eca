"""Finished maps as one chunked, compressed store, of which any map is read alone.

The folder maps.zarr holds the arrays of all parts (see pipeline.explanations.maps), each as one
array of all N cases. Maps, and whatever else has more than one number a case, lie in chunks of one
part, so that the map of a case at a layer is read from one chunk. Text is stored as numbers of the
distinct values, which stand in the array's attributes.

Needs the package zarr, of the extra `sweep`.
"""

import json
import shutil
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from naflow.errors import BadInput, near_names
from pipeline.explanations.cases import Case

NAME = "maps.zarr"


def exists(folder: Path) -> bool:
    """Whether the maps of a folder were merged into a store."""
    return (folder / NAME).exists()


def remove(folder: Path) -> None:
    """Remove a folder's store, if there is one."""
    if exists(folder):
        shutil.rmtree(folder / NAME)


def fingerprints(folder: Path) -> list[str]:
    """Those of the parts in the store; none where there is no store."""
    return _attributes(folder).get("fingerprints", [])


def names(folder: Path) -> list[str]:
    """Those of the arrays in the store, as a part has them; none where there is no store."""
    return _attributes(folder).get("names", [])


def write(folder: Path, parts: Iterable[dict[str, np.ndarray]]) -> None:
    """Write the arrays of parts, one in memory at a time, as the folder's store, whole or not at
    all. All parts are of the same length, but the last may be shorter."""
    partial = folder / f".{NAME}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    group = _zarr().open_group(partial, mode="w")
    marks: list[str] = []
    columns: dict[str, list[np.ndarray]] = {}  # a number or a word a case: few enough to be held
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
    group.attrs.update({"fingerprints": marks, "names": names, "size": size})
    remove(folder)
    partial.rename(folder / NAME)


class Store:
    """The store of a folder, open for reading. Raises BadInput where there is none.

    cases   (N,) what is explained
    layers  of the model, shallow to deep
    """

    def __init__(self, folder: Path | str) -> None:
        self._folder = Path(folder)
        if not exists(self._folder):
            raise BadInput(
                f"{folder} holds no {NAME}. Make it from finished parts: python -m pipeline.merge."
            )
        self._names = names(self._folder)
        self._group = _zarr().open_group(self._folder / NAME, mode="r")
        self.layers = [n.removeprefix("map/") for n in self._names if n.startswith("map/")]

    @cached_property
    def cases(self) -> list[Case]:
        pairs = zip(self.array("pictures"), self.array("references"), strict=True)
        return [Case(str(picture), str(reference)) for picture, reference in pairs]

    def map(self, case: Case, layer: str) -> np.ndarray:
        """The raw map (h, w) of a case at a layer; one chunk is read. Raises BadInput with the
        near names where there is no such case or layer."""
        if layer not in self.layers:
            raise BadInput(
                f"{self._folder}: there is no layer {layer!r}.{near_names(layer, self.layers)}"
            )
        if case not in self._rows:
            known = [one.picture for one in self.cases]
            raise BadInput(
                f"{self._folder}: there is no case {case}.{near_names(case.picture, known)}"
            )
        return self.array(f"map/{layer}", self._rows[case])

    def array(self, name: str, rows: int | slice = slice(None)) -> np.ndarray:
        """Some rows of an array of `maps.write_part`, by default all."""
        stored = self._group[name]
        values = stored[rows]
        return np.array(stored.attrs["words"])[values] if "words" in stored.attrs else values

    def arrays(self, rows: slice = slice(None)) -> dict[str, np.ndarray]:
        """Those rows of every array."""
        return {name: self.array(name, rows) for name in self._names}

    def part(self, number: int) -> dict[str, np.ndarray]:
        """The arrays of a part, with its fingerprint, as they were written."""
        attributes = _attributes(self._folder)
        rows = slice(number * attributes["size"], (number + 1) * attributes["size"])
        mark = attributes["fingerprints"][number]
        return {"fingerprint": np.array(mark)} | self.arrays(rows)

    @cached_property
    def _rows(self) -> dict[Case, int]:
        return {case: row for row, case in enumerate(self.cases)}


def _created(group: Any, name: str, values: np.ndarray) -> Any:
    """An array of these values, which are one chunk of it, compressed without loss."""
    codecs = _zarr().codecs
    return group.create_array(
        name,
        data=values,
        chunks=tuple(max(1, side) for side in values.shape),
        compressors=codecs.BloscCodec(cname="zstd", clevel=1, shuffle=codecs.BloscShuffle.shuffle),
        chunk_key_encoding={"name": "default", "separator": "."},  # a file a chunk, not a folder
        config={"write_empty_chunks": True},  # -0.0 is not 0.0
    )


def _attributes(folder: Path) -> dict:
    """Of the store as a whole: plain JSON, for which zarr is not needed."""
    path = folder / NAME / "zarr.json"
    return json.loads(path.read_text())["attributes"] if path.exists() else {}


def _zarr() -> ModuleType:
    """Imported late: only merged maps need it."""
    try:
        import zarr
        import zarr.codecs
    except ModuleNotFoundError:
        raise BadInput(f"{NAME} needs the package zarr: pip install 'naflow[sweep]'.") from None
    return zarr
