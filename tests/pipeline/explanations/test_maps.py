"""Folders of maps: what is there, what is finished, and what is not."""

import json
import random

import numpy as np
import pandas as pd
import pytest
from made_maps import made

from naflow.errors import BadInput
from pipeline.explanations import maps
from pipeline.explanations.cases import Case

CASES = [Case("disc_1"), Case("cross_1"), Case("disc_2"), Case("disc_3"), Case("cross_2")]


@pytest.fixture
def folder(tmp_path):
    """Five cases in two parts, of which the second is longer."""
    parts = [tmp_path / str(number) / "naflow" for number in range(2)]
    for number, some in enumerate((CASES[:2], CASES[2:])):
        made(parts[number], {}, some, seed=number)
    folder = tmp_path / "resnet18" / "naflow"
    folder.mkdir(parents=True)
    for number, part in enumerate(parts):
        maps.part_path(part, 0).rename(maps.part_path(folder, number))
    about = json.loads((parts[0] / "manifest.json").read_text())
    maps.finish(folder, 2, about | {"method": "NAFlow", "model": "resnet18"})
    return folder


def test_fingerprints_of_the_parts_that_are_there(folder):
    assert maps.made(folder, range(4)) == {0: "made", 1: "made"}
    assert maps.made(folder, [1]) == {1: "made"}
    assert maps.made(folder / "nowhere", range(2)) == {}


@pytest.mark.parametrize("left", [0, 10, 5000])
def test_a_damaged_part_is_not_there(folder, left):
    path = maps.part_path(folder, 1)
    assert path.stat().st_size > left
    path.write_bytes(path.read_bytes()[:left])
    assert maps.made(folder, range(2)) == {0: "made"}


def test_a_folder_at_work_is_not_finished(folder):
    about = json.loads((folder / "manifest.json").read_text()) | {"job": "1"}
    maps.begin(folder, 2, about)
    with pytest.raises(BadInput, match="holds no finished maps"):
        maps.load(folder)
    assert json.loads((folder / "job.json").read_text()) == about | {"parts": 2}
    maps.begin(folder, 3, about)
    assert json.loads((folder / "job.json").read_text())["parts"] == 3
    maps.finish(folder, 1, about)
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "part-000.npz"]
    assert maps.load(folder).cases == CASES[:2]


def test_a_finished_folder_is_emptied_and_an_unfinished_one_is_not(folder):
    maps.begin(folder, 2, {})
    maps.empty(folder)
    assert maps.made(folder, range(2)).keys() == {0, 1}
    maps.finish(folder, 2, {})
    maps.empty(folder)
    assert list(folder.iterdir()) == []


def test_means_over_parts_are_those_over_all_cases(folder):
    found = maps.load(folder)
    table = maps.summary_of_parts(folder, range(2))
    pd.testing.assert_frame_equal(table, maps.summary(found), check_dtype=False)
    values = found.maps["conv"]
    assert np.allclose(table["empty"][0], np.mean([(one == 0).all() for one in values]))
    assert maps.summary_of_parts(folder, [7]).empty


def test_a_changed_bit_of_a_part_is_refused_or_changes_nothing(folder):
    path, chance, refusals = maps.part_path(folder, 1), random.Random(0), 0
    content, expected = path.read_bytes(), maps.read_part(path)
    for _ in range(200):
        at, bit = chance.randrange(len(content)), 1 << chance.randrange(8)
        path.write_bytes(content[:at] + bytes([content[at] ^ bit]) + content[at + 1 :])
        try:
            found = maps.read_part(path)
        except BadInput:
            refusals += 1
            continue
        assert found.keys() == expected.keys()
        assert all(np.array_equal(found[name], expected[name]) for name in found), (at, bit)
    assert refusals > 50


def test_finished_maps_that_were_damaged_are_refused(folder):
    maps.part_path(folder, 0).unlink()
    with pytest.raises(BadInput, match=r"part-000.npz is missing or damaged .*explain again"):
        maps.load(folder)
    (folder / "manifest.json").write_text("")
    with pytest.raises(BadInput, match=r"manifest.json cannot be read.*pipeline.explain"):
        maps.load(folder)
