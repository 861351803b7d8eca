"""The store: every bit comes back, and a map costs one chunk."""

import gzip
import json
import pickle
import random
import sys

import numpy as np
import pytest
from numcodecs import blosc

from naflow.errors import BadInput
from pipeline.explanations import store
from pipeline.explanations.cases import Case
from pipeline.explanations.store import Store

SIZES = (4, 4, 2)
LAYERS = {"conv": (6, 5), "layer1.0.add": (3, 3)}


def parts():
    """Three parts such as a job writes, of any numbers."""
    rng, at = np.random.default_rng(0), 0
    for number, size in enumerate(SIZES):
        keys = [f"picture {row}" for row in range(at, at + size)]
        arrays = {
            "fingerprint": np.array(f"job {number}"),
            "pictures": np.array(keys),
            "references": np.array(["", "é"] * (size // 2)),
            "score": rng.normal(size=size).astype(np.float32),
            "prediction": np.arange(size) - 1,
            "weights": np.zeros((size, 0), np.float32),
        }
        for layer, shape in LAYERS.items():
            values = rng.normal(size=(size, *shape)).astype(np.float32)
            values[0, 0, :3] = -0.0, np.nan, np.inf
            values[1] = 0
            arrays[f"map/{layer}"] = values
            arrays[f"abandoned/{layer}"] = rng.random(size)
            arrays[f"stop/{layer}"] = np.array(["tolerance", "closed_form"] * (size // 2))
        at += size
        yield arrays


@pytest.fixture
def folder(tmp_path):
    store.write(tmp_path, parts)
    return tmp_path


def same(found, given):
    if given.dtype.kind == "U":
        assert found.tolist() == given.tolist()
    else:
        assert found.dtype == given.dtype and found.shape == given.shape
        assert found.tobytes() == given.tobytes()


def test_every_bit_comes_back(folder):
    found, given = Store(folder).arrays(), list(parts())
    assert list(found) == [name for name in given[0] if name != "fingerprint"]
    for name, values in found.items():
        same(values, np.concatenate([part[name] for part in given]))


def test_parts_come_back_as_they_were(folder):
    for number, given in enumerate(parts()):
        found = Store(folder).part(number)
        assert list(found) == list(given)
        for name in given:
            same(np.asarray(found[name]), given[name])
    assert store.fingerprints(folder) == ["job 0", "job 1", "job 2"]


def test_a_map_by_case_and_layer(folder):
    opened, given = Store(folder), list(parts())
    assert opened.layers == list(LAYERS)
    assert opened.cases[5] == Case("picture 5", "é")
    for layer in LAYERS:
        same(opened.map(Case("picture 5", "é"), layer), given[1][f"map/{layer}"][1])
        same(opened.map(Case("picture 8"), layer), given[2][f"map/{layer}"][0])


def test_a_map_is_read_from_one_chunk(folder):
    chunk = folder / store.NAME / "map" / "layer1.0.add" / "c.1.0.0"
    others = [path for path in (folder / store.NAME).glob("map/*/c.*") if path != chunk]
    assert len(others) == len(SIZES) * len(LAYERS) - 1
    for path in others:
        path.write_bytes(b"not a chunk")
    given = list(parts())[1]["map/layer1.0.add"]
    same(Store(folder).map(Case("picture 6"), "layer1.0.add"), given[2])
    # What any other reader of the format finds in it.
    raw = np.frombuffer(blosc.decompress(chunk.read_bytes()[:-4]), np.float32)
    same(raw.reshape(given.shape), given)


def test_the_same_maps_are_the_same_bytes(folder, tmp_path):
    def content():
        root = folder / store.NAME
        return {
            path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()
        }

    first = content()
    store.write(folder, parts)
    assert content() == first
    assert [path.name for path in folder.iterdir()] == [store.NAME]


def test_a_store_is_whole_or_not_there(tmp_path):
    def broken():
        yield next(parts())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.write(tmp_path, broken)
    assert not store.exists(tmp_path)
    assert store.fingerprints(tmp_path) == store.names(tmp_path) == []
    with pytest.raises(BadInput, match=r"holds no maps.zarr. Make it .* pipeline.merge"):
        Store(tmp_path)
    store.write(tmp_path, parts)
    assert len(Store(tmp_path).cases) == sum(SIZES)


def test_what_is_not_in_it_is_answered_with_what_is_near(folder):
    opened = Store(folder)
    with pytest.raises(BadInput, match=r"no layer 'layer1.0'. Did you mean 'layer1.0.add'"):
        opened.map(opened.cases[0], "layer1.0")
    with pytest.raises(BadInput, match=r"no case .*Did you mean 'picture 1'"):
        opened.map(Case("picture 11"), "conv")


def test_without_the_package_it_says_what_to_install(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(BadInput, match=r"pip install 'naflow\[sweep\]'"):
        Store(folder)


def test_a_changed_bit_anywhere_is_refused_or_changes_nothing(folder):
    expected = {name: values.tobytes() for name, values in Store(folder).arrays().items()}
    files = sorted(path for path in (folder / store.NAME).rglob("*") if path.is_file())
    chance, refusals = random.Random(0), 0
    for path in files * 2:
        content = path.read_bytes()
        at, bit = chance.randrange(len(content)), 1 << chance.randrange(8)
        path.write_bytes(content[:at] + bytes([content[at] ^ bit]) + content[at + 1 :])
        try:
            found = {name: values.tobytes() for name, values in Store(folder).arrays().items()}
            assert found == expected, f"{path}, byte {at}"
        except BadInput:
            refusals += 1
        path.write_bytes(content)
    assert refusals > 0.8 * 2 * len(files)


def forged(folder, changed):
    """Change what a store tells of itself, with a checksum that fits."""
    path = folder / store.NAME / "zarr.json"
    content = json.loads(path.read_text())
    about = {k: v for k, v in (content["attributes"] | changed).items() if k != "sha256"}
    seal = store._sha256(store._canonical(about))
    path.write_text(json.dumps(content | {"attributes": about | {"sha256": seal}}))


@pytest.mark.parametrize(
    "changed",
    [{name: odd} for name in ("names", "described", "fingerprints", "size")
     for odd in (None, 0, -1, "x", [3], {"a": 1})]
    + [{"names": ["../x"]}, {"names": ["/etc"]}, {"names": ["map/../../x"]}, {"names": ["map/no"]}],
)  # fmt: skip
def test_a_forged_description_is_a_sentence(folder, changed):
    forged(folder, changed)
    with pytest.raises(BadInput, match="describes no arrays of maps"):
        Store(folder)


class Ran:
    """A pickle that writes a file where it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_an_array_of_the_old_format_whose_filter_unpickles_is_not_read(folder):
    place, ran = folder / store.NAME / "score", folder / "ran"
    described = {"zarr_format": 2, "shape": [1], "chunks": [1], "dtype": "|O", "order": "C"}
    described |= {"fill_value": None, "compressor": None, "filters": [{"id": "pickle"}]}
    (place / ".zarray").write_text(json.dumps(described))
    (place / "0").write_bytes(pickle.dumps([Ran(ran), "|O", [1]]))
    about = store._attributes(folder / store.NAME)
    for content in (json.dumps(described), "{}", "null", ""):
        (place / "zarr.json").write_text(content)
        told = store._sha256(content.encode())
        forged(folder, {"described": about["described"] | {"score": told}})
        with pytest.raises(BadInput, match=r"maps\.zarr is damaged"):
            Store(folder).array("score")
        assert not ran.exists()


@pytest.mark.parametrize("left", [None, 0, 3, 40])
def test_a_chunk_that_is_cut_or_not_there_is_named_by_layer_and_picture(folder, left):
    chunk = folder / store.NAME / "map" / "conv" / "c.1.0.0"
    content = chunk.read_bytes()
    if left is None:
        chunk.unlink()
    else:
        assert len(content) > left
        chunk.write_bytes(content[:left])
    opened = Store(folder)
    told = r"maps.zarr is damaged: layer 'conv', pictures 'picture 4' to 'picture 7'.*Delete"
    with pytest.raises(BadInput, match=told):
        opened.map(Case("picture 6"), "conv")
    with pytest.raises(BadInput, match=told):
        opened.arrays()
    opened.map(Case("picture 2"), "conv")


def test_what_is_read_back_otherwise_is_not_kept(tmp_path):
    store.write(tmp_path, parts)
    times = []

    def changing():
        times.append(1)
        for part in parts():
            yield part | ({"score": part["score"] + 1} if len(times) == 2 else {})

    with pytest.raises(BadInput, match=r"part 0, read back, differs"):
        store.write(tmp_path, changing)
    assert [path.name for path in tmp_path.iterdir()] == [store.NAME]
    same(Store(tmp_path).array("score"), np.concatenate([part["score"] for part in parts()]))


def described(folder, array, changed):
    """Change an array's description, with checksums that fit."""
    path = folder / store.NAME / array / "zarr.json"
    content = json.dumps(json.loads(path.read_text()) | changed).encode()
    path.write_bytes(content)
    about = store._attributes(folder / store.NAME)["described"]
    forged(folder, {"described": about | {array: store._sha256(content)}})


@pytest.mark.parametrize("name", ["gzip", "numcodecs.zlib", "os.system", 3, None])
def test_nothing_but_what_packed_it_unpacks_a_store(folder, name):
    packed = [{"name": "bytes"}, {"name": name, "configuration": {"level": 1}}]
    described(folder, "map/conv", {"codecs": packed})
    for chunk in (folder / store.NAME / "map/conv").glob("c.*"):
        chunk.write_bytes(gzip.compress(bytes(1 << 20)))
    with pytest.raises(BadInput, match=r"layer 'conv'.*it is packed in another way"):
        Store(folder).array("map/conv")


def test_a_chunk_that_unpacks_to_more_than_its_maps_is_not_unpacked(folder):
    chunk = folder / store.NAME / "map/conv" / "c.1.0.0"
    chunk.write_bytes(blosc.compress(bytes(1 << 20), b"zstd", 1, 1))
    with pytest.raises(BadInput, match=r"layer 'conv'.*picture 4.*it is of another size"):
        Store(folder).array("map/conv")


def test_memory_for_maps_that_are_claimed_is_not_taken(folder):
    grid = {"name": "regular", "configuration": {"chunk_shape": [10, 1 << 20, 1 << 20]}}
    described(folder, "map/conv", {"shape": [10, 1 << 20, 1 << 20], "chunk_grid": grid})
    with pytest.raises(BadInput, match=r"layer 'conv'.*it is of another size"):
        Store(folder).array("map/conv")
