"""Finished maps read whole, and told in a table."""

import numpy as np
import pandas as pd
import pytest
from made_maps import made

from naflow.errors import BadInput
from pipeline.explanations import maps, parts
from pipeline.explanations.cases import Case
from pipeline.explanations.job import Job

CASES = [Case("disc_1"), Case("cross_1"), Case("disc_2"), Case("disc_3"), Case("cross_2")]


@pytest.fixture
def folder(tmp_path):
    """Five cases in two parts, of which the second is longer."""
    pieces = [tmp_path / str(number) / "naflow" for number in range(2)]
    for number, some in enumerate((CASES[:2], CASES[2:])):
        made(pieces[number], {}, some, seed=number)
    folder = tmp_path / "resnet18" / "naflow"
    folder.mkdir(parents=True)
    for number, piece in enumerate(pieces):
        parts.path(piece, 0).rename(parts.path(folder, number))
    about = Job.of(pieces[0]).about
    Job(folder, 2, about | {"method": "NAFlow", "model": "resnet18"}).finish()
    return folder


def test_parts_are_read_as_one(folder, tmp_path):
    found = maps.load(folder)
    assert found.cases == CASES
    assert found.labels == ["disc", "cross", "disc", "disc", "cross"]
    assert found.stats["block.0"]["residual"].tolist() == [0.25] * 5
    for layer, values in found.maps.items():
        some = [parts.read(parts.path(folder, number))[f"map/{layer}"] for number in range(2)]
        assert np.array_equal(values, np.concatenate(some))


def test_means_over_parts_are_those_over_all_cases(folder):
    found = maps.load(folder)
    table = maps.summary_of_parts(folder, range(2))
    pd.testing.assert_frame_equal(table, maps.summary(found), check_dtype=False)
    values = found.maps["conv"]
    assert np.allclose(table["empty"][0], np.mean([(one == 0).all() for one in values]))
    assert maps.summary_of_parts(folder, [7]).empty


def test_finished_maps_that_were_damaged_are_refused(folder):
    parts.path(folder, 0).unlink()
    with pytest.raises(BadInput, match=r"part-000.npz is missing or damaged .*explain again"):
        maps.load(folder)
    (folder / "manifest.json").write_text("")
    with pytest.raises(BadInput, match=r"manifest.json cannot be read.*pipeline.explain"):
        maps.load(folder)
