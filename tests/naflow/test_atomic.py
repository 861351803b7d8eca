"""Files and folders that are whole or absent, whoever is killed while writing them."""

import os
import resource
import shutil

import pytest
from at_once import at_once

from naflow.atomic import locked, replacing, replacing_folder, restore


def contents(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def written(folder, text):
    with locked(folder), replacing_folder(folder) as partial:
        (partial / "file").write_text(text)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "inside" / "file.txt"
    for text in ("first", "second"):
        with replacing(path) as partial:
            partial.write_text(text)
    with pytest.raises(KeyboardInterrupt), replacing(path) as partial:  # noqa: PT012
        partial.write_text("third")
        raise KeyboardInterrupt
    assert contents(path.parent) == {"file.txt": "second"}


def test_a_full_disk_names_the_file(tmp_path):
    """A limit of file sizes stands for it."""

    def fills():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        with (
            pytest.raises(OSError, match=r"file.txt"),
            replacing(tmp_path / "file.txt") as partial,
        ):
            partial.write_bytes(bytes(1000))
        assert not list(tmp_path.iterdir())

    assert at_once(fills) == [0]


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path):
    folder = tmp_path / "folder"
    written(folder, "first")
    (folder / "more").write_text("more")
    with pytest.raises(KeyboardInterrupt), replacing_folder(folder) as partial:  # noqa: PT012
        (partial / "file").write_text("second")
        raise KeyboardInterrupt
    assert contents(folder) == {"file": "first", "more": "more"}
    written(folder, "third")
    assert contents(folder) == {"file": "third"}
    assert {path.name for path in tmp_path.iterdir()} == {"folder", ".folder.lock"}


@pytest.mark.parametrize("step", range(3))
def test_a_kill_at_any_step_of_the_replacement_loses_nothing(tmp_path, monkeypatch, step):
    folder = tmp_path / "folder"
    written(folder, "old")

    def killed():
        steps = []

        def counting(do):
            def counted(*args, **more):
                if len(steps) == step:
                    os._exit(9)
                steps.append(1)
                return do(*args, **more)

            return counted

        with locked(folder), replacing_folder(folder) as partial:
            (partial / "file").write_text("new")
            monkeypatch.setattr(os, "rename", counting(os.rename))
            monkeypatch.setattr(shutil, "rmtree", counting(shutil.rmtree))

    assert at_once(killed) == [9]
    with locked(folder):
        restore(folder)
    assert contents(folder) == {"file": "new" if step == 2 else "old"}
    assert {path.name for path in tmp_path.iterdir()} == {"folder", ".folder.lock"}


def test_one_at_a_time_and_nested_in_one_thread(tmp_path):
    path = tmp_path / "count"
    path.write_text("0")

    def counts():
        for _ in range(20):
            with locked(path), locked(path):
                path.write_text(str(int(path.read_text()) + 1))

    assert at_once(counts, counts) == [0, 0]
    assert path.read_text() == "40"
