"""The photographs of the benchmarks are those of one half, in turn, and with masks where asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from study_script import script

from bench.photographs import half, with_masks
from naflow.errors import BadInput

SIDE = 16
WHOLE = 6  # a picture of the half whose mask has no background


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Pets with masks, one of them of the whole picture; airplanes, faces and birds without."""
    rows = []
    for number in range(40):
        subset = ("pets31", "caltech3", "cub20")[number % 3]
        Image.fromarray(np.full((SIDE, SIDE, 3), 5 * number, np.uint8)).save(
            tmp_path / f"{number}.png"
        )
        mask = np.zeros((SIDE, SIDE), np.uint8)
        mask[: SIDE if number == WHOLE else 4] = 255
        Image.fromarray(mask).save(tmp_path / f"{number}-mask.png")
        named = f"{number}-mask.png" if subset == "pets31" else ""
        rows.append([subset, f"{number}.png", named, f"class {number % 2}", 1, 2, 9, 12])
    columns = ["subset", "image", "mask", "class", "x0", "y0", "x1", "y1"]
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / "index.csv", index=False)
    return tmp_path


@pytest.fixture
def index(photos: Path, tmp_path: Path) -> Path:
    table = pd.read_csv(photos / "index.csv", dtype=str, keep_default_na=False)
    script("photographs").chosen(table).to_csv(tmp_path / "chosen.csv", index=False)
    return tmp_path / "chosen.csv"


def test_a_half_has_its_collections_in_turn(index: Path, photos: Path) -> None:
    table = pd.read_csv(index, keep_default_na=False)
    assert set(table["collection"]) == {"pets31", "cub20"}  # of caltech3 only what has a mask
    found = half(index, photos)
    assert {one.id for one in found} == {*table[table["split"] == "report"]["id"]}
    assert 0 < len(found) < len(table)
    first = [one.label for one in found][:4]
    assert first[:2] == first[2:] and len(set(first)) == 2


def test_pictures_with_a_mask_and_a_background(index: Path, photos: Path) -> None:
    assert f"{WHOLE}.png" in {one.id for one in half(index, photos)}
    every = with_masks(index, photos, 99, SIDE)
    assert every and all(one.mask is not None and one.id != f"{WHOLE}.png" for one in every)
    assert with_masks(index, photos, 2, SIDE) == every[:2]
    with pytest.raises(BadInput, match="at least one"):
        with_masks(index, photos, 0, SIDE)
    birds = pd.read_csv(index, keep_default_na=False)
    birds[birds["collection"] == "cub20"].to_csv(index, index=False)
    with pytest.raises(BadInput, match="no picture with a mask"):
        with_masks(index, photos, 2, SIDE)
