"""Two command lines in one folder: everything that both were asked for is there."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from at_once import at_once
from PIL import Image

from naflow.cli import main


@pytest.mark.parametrize("again", range(2))
def test_two_runs_with_photos_of_their_own(tmp_path: Path, again: int) -> None:
    out, runs = tmp_path / "out", []
    for run in range(2):
        photos = tmp_path / str(run)
        photos.mkdir()
        for number in range(4):
            pixels = np.random.default_rng([run, number]).integers(0, 256, (32, 32, 3), np.uint8)
            Image.fromarray(pixels).save(photos / f"{number}.png")
        words = ["explain", str(photos), "--out", str(out), "--size", "32", "--device", "cpu"]
        words += ["--model", "networks:Residual", "--random-weights", "--method", "gradcam"]
        runs.append(lambda words=words: sys.exit(main([*words, "--layers", "relu", "--quiet"])))
    assert at_once(*runs) == [0, 0]
    photos = json.loads((out / "manifest.json").read_text())["photos"]
    assert {entry["file"] for entry in photos.values()} == {
        path.as_posix() for run in range(2) for path in (tmp_path / str(run)).iterdir()
    }
