"""Photos that are none, long names, doubles: each costs itself alone, and none shares a folder."""

from __future__ import annotations

import hashlib
import json
import os
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from naflow.cli import main
from naflow.cli.photos import PhotoFile, photo_paths
from naflow.errors import BadInput


def picture(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (32, 32, 3), np.uint8))


def explain(out: Path, *photos: Path, batch: int = 2) -> int:
    words = ["--model", "networks:Residual", "--method", "gradcam", "--size", "32"]
    words += ["--device", "cpu", "--batch", str(batch), "--out", str(out)]
    return main(["explain", *map(str, photos), *words])


def manifest(out: Path) -> dict:
    return json.loads((out / "manifest.json").read_text())


def test_what_is_no_photo_costs_itself_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    picture(0).save(photos / "a.png")
    os.mkfifo(photos / "b.jpg")
    (photos / "c.jpg").mkdir()
    (photos / "d.jpg").symlink_to(photos / "lost.jpg")
    Image.fromarray(np.ones((8, 8), np.float32)).save(photos / "e.tiff")
    long = "n" * 251 + ".png"
    picture(1).save(photos / long)
    picture(2).save(photos / ("\u00e4" * 125 + ".png"))

    assert explain(out, photos) == 1
    lines = capsys.readouterr().err.splitlines()[1:]
    said = ["b.jpg is a pipe", "c.jpg is a folder", "d.jpg cannot be read", "e.tiff holds floating"]
    assert len(lines) == len(said)
    assert all(words in line for words, line in zip(said, lines, strict=True))
    entries = manifest(out)["photos"]
    assert sorted(Path(entry["file"]).name[0] for entry in entries.values()) == ["a", "n", "\u00e4"]
    for key, entry in entries.items():
        assert (out / key / "gradcam" / "maps.npz").is_file()
        assert entry["sha256"][:32] == key[-32:]


def test_a_folder_called_a_picture_is_one_or_the_other(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").mkdir()
    (tmp_path / "full.jpg").mkdir()
    picture(0).save(tmp_path / "full.jpg" / "a.png")
    found = photo_paths([tmp_path / "empty.jpg", tmp_path / "full.jpg"])
    assert found == [tmp_path / "empty.jpg", tmp_path / "full.jpg" / "a.png"]
    with pytest.raises(BadInput, match="there is no such photo"):
        photo_paths([tmp_path / ("x" * 300)])


@pytest.mark.parametrize("batch", [1, 2])
def test_the_same_photo_twice_is_done_once_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], batch: int
) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        picture(0).save(tmp_path / folder / "a.png")
    out = tmp_path / "out"
    first, second = tmp_path / "one" / "a.png", tmp_path / "two" / "a.png"
    assert explain(out, first, second, batch=batch) == 0
    assert f"{second} is the same photo as {first}" in capsys.readouterr().out
    [entry] = manifest(out)["photos"].values()
    assert entry["file"] == str(first)


def test_two_photos_never_share_a_folder() -> None:
    """Also where the first 32 bits of their hashes are the same, which takes a moment to find."""
    seen: dict[bytes, int] = {}
    for number in count():
        start = hashlib.sha256(b"%d" % number).digest()[:4]
        if start in seen:
            break
        seen[start] = number
    pair = [PhotoFile(Path("a.jpg"), b"%d" % n) for n in (seen[start], number)]
    assert pair[0].sha256[:8] == pair[1].sha256[:8]
    assert pair[0].key != pair[1].key
    assert PhotoFile(Path("b.jpg"), b"0").key != PhotoFile(Path("a.jpg"), b"0").key
