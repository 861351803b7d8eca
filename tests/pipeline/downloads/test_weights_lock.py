"""The lock file of weights."""

import json
import multiprocessing
import time

import pytest

from naflow.errors import BadInput
from pipeline.app import CONF
from pipeline.downloads import weights_lock
from pipeline.downloads.weights_lock import Entry, read, record

ENTRY = Entry("w.pth", 12, "ab" * 32, "https://a.org/w.pth")


def test_round_trip(tmp_path):
    lock = tmp_path / "conf" / "weights.lock.json"
    assert read(lock) == {}
    record(lock, "one", ENTRY)
    record(lock, "two", ENTRY)
    other = Entry("v.pth", 13, "cd" * 32, "https://a.org/v.pth")
    record(lock, "one", other)
    assert read(lock) == {"one": other, "two": ENTRY}
    entry = {"file": "w.pth", "size": 12, "sha256": "ab" * 32, "address": "https://a.org/w.pth"}
    assert json.loads(lock.read_text())["two"] == entry


def test_several_processes_lose_nothing(tmp_path, monkeypatch):
    def slowly(path):
        entries = read(path)
        time.sleep(0.02)  # time enough for another process to write
        return entries

    monkeypatch.setattr(weights_lock, "read", slowly)
    lock, names = tmp_path / "lock.json", [f"model{number}" for number in range(4)]
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=record, args=(lock, name, ENTRY)) for name in names]
    for process in processes:
        process.start()
    for process in processes:
        process.join(10)
        assert process.exitcode == 0
    assert sorted(read(lock)) == names


WRONG = '{"a": {"file": "w.pth", "size": "12", "sha256": null, "address": 5}}'


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"a": 1}',
        '{"a": {"file": "w.pth"}}',
        '{"a": {"colour": 1}}',
        WRONG,
        "[" * 99999,
    ],
)
def test_damaged(tmp_path, content):
    (tmp_path / "lock.json").write_text(content)
    with pytest.raises(BadInput, match="no lock file of weights"):
        read(tmp_path / "lock.json")


def test_committed_file():
    assert all(len(entry.sha256) == 64 for entry in read(CONF / "weights.lock.json").values())


def test_a_lock_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BadInput, match=r"lock\.json cannot be written.*fetch\.lock"):
        record(tmp_path / "file" / "lock.json", "one", ENTRY)
