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


@pytest.mark.parametrize(
    "changed",
    [{name: None} for name in ("pictures", "references", "labels", "score", "weights")]
    + [{"stop/conv": None}, {"iterations/conv": None}, {"fingerprint": None, "labels": None}]
    + [{name: np.zeros(n)} for name in ("score", "confidence", "map/conv") for n in (0, 7)]
    + [{"map/conv": np.zeros((2, 3))}, {"map/conv": np.zeros(())}, {"weights": np.zeros(2)}]
    + [{"score": np.zeros((2, 2))}, {"map/new": np.zeros((9, 2, 2))}, {"pictures": np.zeros(3)}],
)
def test_parts_with_other_arrays_are_a_sentence(folder, changed):
    path = parts.path(folder, 0)
    arrays = {n: v for n, v in (parts.read(path) | changed).items() if v is not None}
    np.savez(path, **arrays)
    with pytest.raises(BadInput, match=f"{folder} holds other arrays"):
        maps.load(folder)


def test_finished_maps_that_were_damaged_are_refused(folder):
    parts.path(folder, 0).unlink()
    with pytest.raises(BadInput, match=r"part-000.npz is missing or damaged .*explain again"):
        maps.load(folder)
    (folder / "manifest.json").write_text("")
    with pytest.raises(BadInput, match=r"manifest.json cannot be read.*pipeline.explain"):
        maps.load(folder)
