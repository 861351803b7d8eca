"""Jobs: what is there, what is missing, what is finished, and what was left by whom was killed."""

import json
import shutil

import numpy as np
import pytest
from made_maps import made

from naflow.errors import BadInput
from pipeline.explanations import maps, parts, store
from pipeline.explanations.cases import Case
from pipeline.explanations.job import Job

CASES = [Case(f"disc_{number}") for number in range(6)]


@pytest.fixture
def arrays(tmp_path):
    """Those of three parts of two cases each, of a method that solves nothing."""
    found = []
    for number in range(3):
        folder = tmp_path / f"made{number}" / "gradcam"
        made(folder, {}, CASES[2 * number : 2 * number + 2], seed=number)
        found.append(parts.read(parts.path(folder, 0)))
        del found[-1]["fingerprint"]
    return found


@pytest.fixture
def about(tmp_path, arrays):
    said = json.loads((tmp_path / "made0" / "gradcam" / "manifest.json").read_text())
    return {key: said[key] for key in said.keys() - {"parts", "layers", "sha256"}} | {"job": "1"}


@pytest.fixture
def job(tmp_path, about):
    return Job(tmp_path / "resnet18" / "gradcam", 3, about)


def files(job):
    return sorted(path.name for path in job.folder.iterdir())


def finished(job, arrays):
    for number, one in enumerate(arrays):
        job.add(number, f"mark{number}", one)
    job.finish()
    return job


def test_a_job_at_work_is_not_finished(job, arrays, about):
    job.start(anew=True)
    assert job.missing() == [0, 1, 2]
    job.add(1, "mark", arrays[1])
    assert job.missing() == [0, 2]
    assert job.has(1, "mark") and not job.has(1, "another picture") and not job.has(0, "mark")
    assert json.loads((job.folder / "job.json").read_text()) == about | {"parts": 3}
    assert Job.of(job.folder) == job
    with pytest.raises(BadInput, match="holds no finished maps"):
        maps.load(job.folder)


def test_a_finished_job_is_complete(job, arrays):
    finished(job, arrays)
    assert files(job) == ["manifest.json", "part-000.npz", "part-001.npz", "part-002.npz"]
    assert job.missing() == []
    found = maps.load(job.folder)
    assert found.cases == CASES
    assert found.manifest["layers"] == ["conv", "block.0", "block.1"]


def test_parts_of_a_longer_run_are_removed(job, arrays, about):
    finished(job, arrays)
    Job(job.folder, 1, about).finish()
    assert files(job) == ["manifest.json", "part-000.npz"]
    assert maps.load(job.folder).cases == CASES[:2]


def test_a_finished_folder_is_emptied_and_an_unfinished_one_is_not(job, arrays):
    job.add(0, "mark0", arrays[0])
    job.start(anew=True)
    assert job.has(0, "mark0")
    finished(job, arrays).start(anew=False)
    assert job.missing() == []
    job.start(anew=True)
    assert files(job) == []
    merged = finished(job, arrays)
    merged.merge()
    Job(job.folder, 3, job.about).start(anew=True)
    assert files(job) == []


def test_a_part_of_another_job_is_missing(job, arrays, about):
    finished(job, arrays)
    other = Job(job.folder, 3, about | {"job": "2"})
    assert not other.has(0, "mark0")
    other.add(0, "mark0", arrays[0])
    assert other.missing() == [1, 2]
    assert Job.of(job.folder) == other


@pytest.mark.parametrize("left", [0, 10, 3000])
def test_a_damaged_part_is_missing_also_where_a_store_has_it(job, arrays, left):
    """It would be read in place of what is in the store."""
    finished(job, arrays).merge()
    again = Job.of(job.folder)
    again.add(1, "replaced", arrays[1])
    assert again.missing() == []
    path = parts.path(job.folder, 1)
    assert path.stat().st_size > left
    path.write_bytes(path.read_bytes()[:left])
    assert again.missing() == [1]
    assert not again.has(1, "replaced") and not again.has(1, "mark1")


def test_what_is_said_is_said_again_where_it_was_lost(job, arrays):
    job.add(0, "mark0", arrays[0])
    for damaged in (b"", b"{", b"[1]", b'{"parts": "3"}'):
        (job.folder / "job.json").write_bytes(damaged)
        with pytest.raises(BadInput, match=r"job.json is missing or damaged"):
            Job.of(job.folder)
    (job.folder / "job.json").unlink()
    with pytest.raises(BadInput, match=r"neither manifest.json nor job.json"):
        Job.of(job.folder)
    job.add(1, "mark1", arrays[1])
    assert Job.of(job.folder) == job
    finished(Job.of(job.folder), arrays)
    job.add(1, "replaced", arrays[1])
    assert files(job)[0] == "job.json" and "manifest.json" not in files(job)


def test_merged_it_is_a_store_of_the_same_maps(job, arrays):
    whole = maps.load(finished(job, arrays).folder)
    manifest = (job.folder / "manifest.json").read_bytes()
    job.merge()
    assert files(job) == ["manifest.json", "maps.zarr"]
    assert (job.folder / "manifest.json").read_bytes() == manifest
    found = maps.load(job.folder)
    assert found.cases == whole.cases
    assert all(np.array_equal(found.maps[layer], whole.maps[layer]) for layer in whole.maps)
    assert Job.of(job.folder).has(2, "mark2")


def test_a_part_made_again_takes_the_place_of_the_stored_one(job, arrays):
    finished(job, arrays).merge()
    again = Job.of(job.folder)
    again.add(1, "replaced", arrays[1] | {"score": arrays[1]["score"] + 1})
    again.merge()
    assert maps.load(job.folder).score.tolist() == [1, 1, 2, 2, 1, 1]
    assert store.fingerprints(job.folder) == ["1 mark0", "1 replaced", "1 mark2"]


def test_a_damaged_source_keeps_what_there_was(job, arrays):
    finished(job, arrays)
    parts.path(job.folder, 2).write_bytes(b"")
    before = files(job)
    with pytest.raises(BadInput, match=r"part-002.npz is missing or damaged"):
        job.merge()
    assert files(job) == before


def test_what_killed_writers_left_of_the_store_is_cleared(job, arrays):
    finished(job, arrays).merge()
    shutil.copytree(job.folder / "maps.zarr", job.folder / f".{'0' * 32}.maps.zarr")
    (job.folder / "maps.zarr").rename(job.folder / ".maps.zarr.replaced")
    job.start(anew=False)
    assert files(job) == ["manifest.json", "maps.zarr"]
    assert maps.load(job.folder).cases == CASES
