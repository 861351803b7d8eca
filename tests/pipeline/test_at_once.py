"""Two of a stage at once, in the same folder: what one leaves is what both leave."""

import hashlib
import json

import numpy as np
import pytest
from at_once import at_once
from omegaconf import OmegaConf

from pipeline import data
from pipeline.explanations import maps
from pipeline.explanations.job import Job
from pipeline.merge import merge

PARTS, SIZE = 30, 2
LAYERS = [f"layer{number}" for number in range(8)]


def part(number):
    values = np.random.default_rng(number)
    names = [f"picture {number * SIZE + row}" for row in range(SIZE)]
    return {
        "pictures": np.array(names),
        "references": np.array([""] * SIZE),
        "labels": np.array(["disc"] * SIZE),
        "score": values.random(SIZE).astype(np.float32),
        "confidence": values.random(SIZE).astype(np.float32),
        "prediction": np.zeros(SIZE, np.int64),
        "weights": np.zeros((SIZE, 0), np.float32),
    } | {f"map/{layer}": values.random((SIZE, 5, 5)).astype(np.float32) for layer in LAYERS}


@pytest.fixture
def folder(tmp_path):
    """A job whose parts are all there."""
    folder = tmp_path / "maps" / "resnet18" / "gradcam"
    folder.mkdir(parents=True)
    settings = {"images": {"name": "shapes"}, "method": {}}
    settings |= {"model": {"input": {"size": 5, "fit": "crop"}}}
    about = {"method": "Grad-CAM", "model": "resnet18", "weights_sha256": "0" * 64, "seed": 0}
    about |= {"job": "job", "classes": ["disc"], "settings": settings, "layers": LAYERS}
    job = Job(folder, PARTS, about)
    for number in range(PARTS):
        job.add(number, str(number), part(number))
    return folder


@pytest.mark.parametrize("again", range(3))
def test_two_merges(folder, tmp_path, again):
    assert at_once(*[lambda: merge(tmp_path, quiet=True)] * 2) == [0, 0]
    found, given = maps.load(folder), [part(number) for number in range(PARTS)]
    assert json.loads((folder / "manifest.json").read_text())["parts"] == PARTS
    for layer in LAYERS:
        values = np.concatenate([one[f"map/{layer}"] for one in given])
        assert np.array_equal(found.maps[layer], values)
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "maps.zarr"]


@pytest.mark.parametrize("again", range(3))
def test_two_of_data(tmp_path, again):
    cfg = OmegaConf.create(
        {
            "scenes": {
                "root": str(tmp_path / "shapes"),
                "size": 32,
                "seed": 3,
                "classes": {"base": ["disc"]},
                "count": {"base": {"train": 40}},
            },
            "quiet": True,
        }
    )
    assert at_once(*[lambda: data.draw(cfg)] * 2) == [0, 0]
    rows = (tmp_path / "shapes" / "index.csv").read_text().splitlines()[1:]
    assert len(rows) == 40
    for row in rows:
        _, image, mask, *_, sha256 = row.split(",")
        content = b"".join((tmp_path / "shapes" / file).read_bytes() for file in (image, mask))
        assert hashlib.sha256(content).hexdigest() == sha256
    assert sorted(path.name for path in tmp_path.iterdir()) == [".shapes.lock", "shapes"]
