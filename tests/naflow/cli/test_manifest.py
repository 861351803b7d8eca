"""What counts as done, and what a folder that cannot be written to comes to."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import numpy as np
import pytest
from at_once import at_once
from PIL import Image

from naflow.cli import main
from naflow.cli.manifest import Manifest
from naflow.hashes import sha256


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """A command that explains one photo into tmp_path/out."""
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    words = ["explain", str(tmp_path / "photo.png"), "--out", str(tmp_path / "out")]
    words += ["--size", "32", "--device", "cpu", "--model", "networks:Residual"]
    return [*words, "--random-weights", "--method", "gradcam", "--layers", "relu"]


@pytest.mark.parametrize("name", ["maps.npz", "strip.png", "01-relu.png"])
@pytest.mark.parametrize("left", [0, 10])
def test_a_file_that_was_emptied_or_cut_is_made_again(
    tmp_path: Path, words: list[str], name: str, left: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 0
    [path] = (tmp_path / "out").rglob(name)
    content = path.read_bytes()
    capsys.readouterr()
    assert main(words) == 0
    assert capsys.readouterr().out.startswith("1 of 1 photos: explained before")
    path.write_bytes(content[:left])
    assert main(words) == 0
    assert "photo.png" in capsys.readouterr().out
    with np.load(next((tmp_path / "out").rglob("maps.npz"))) as maps:
        assert list(maps) == ["relu"]
    assert path.stat().st_size > left


def test_what_an_entry_names_elsewhere_is_neither_read_nor_done(tmp_path: Path) -> None:
    out, key, head = tmp_path / "out", "a-0", {"settings": {"methods": ["gradcam"]}}
    (out / key / "gradcam").mkdir(parents=True)
    maps = f"{key}/gradcam/maps.npz"
    for place in (out / maps, tmp_path / "secret"):
        place.write_bytes(b"content")
    told = sha256(out / maps)

    def done(files: dict[str, str]) -> bool:
        manifest = Manifest(out, head)
        manifest.photos[key] = {"methods": {"gradcam": {"files": files}}}
        manifest.write()
        return Manifest(out, head).done(key)

    assert done({maps: told})
    assert not done({})
    assert not done({f"{key}/gradcam/strip.png": told})
    odd = ["../secret", f"{key}/../../secret", str(tmp_path / "secret"), f"{key}/{'n' * 300}"]
    odd += [f"{key}/\0", f"{key}/\ud800", f"{key}/gradcam", "", "/", "b-1/gradcam/maps.npz"]
    for name in odd:
        assert not done({maps: told, name: told}), name


def test_a_full_disk_is_one_sentence(
    tmp_path: Path, words: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    """A limit of file sizes stands for it."""

    def fills() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))
        sys.exit(main(words))

    assert at_once(fills) == [2]
    told = [line for line in capfd.readouterr().err.splitlines() if "RANDOM" not in line]
    assert len(told) == 1 and told[0].startswith("naflow: ") and "too large" in told[0]
    assert "/out/" in told[0]


def test_a_folder_that_is_a_file_is_one_sentence(
    tmp_path: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").write_text("")
    assert main(words) == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith("/out: File exists.")
