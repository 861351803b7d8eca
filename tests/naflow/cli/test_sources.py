"""Networks of the user's own that cannot be explained, and names that no terminal should obey."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from naflow import BadInput
from naflow.cli import main
from naflow.cli.sources import fingerprint


@pytest.mark.parametrize(
    "weight",
    [torch.zeros(3, device="meta"), torch.eye(3).to_sparse(), torch.zeros(3).to_sparse()],
    ids=["meta", "sparse", "sparse vector"],
)
def test_tensors_without_numbers_are_named(weight: torch.Tensor) -> None:
    network = nn.Linear(3, 3)
    network.register_buffer("odd", weight)
    with pytest.raises(BadInput, match="'odd' holds no plain numbers"):
        fingerprint(network)


def test_other_numbers_are_another_fingerprint() -> None:
    network = nn.Linear(3, 3)
    before = fingerprint(network)
    assert before == fingerprint(network)
    with torch.no_grad():
        network.bias[2] += 1
    assert before != fingerprint(network)


@pytest.mark.parametrize("name", ["a\x1b[31m:net", "\x00:net", "\x9b2J", "hf:\u202e/x", "timm:\r"])
def test_no_name_of_a_network_acts_on_the_terminal(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    words = ["explain", str(tmp_path / "a.png"), "--model", name, "--random-weights"]
    assert main([*words, "--out", str(tmp_path / "o")]) == 2
    said = capsys.readouterr().err
    assert said.endswith("\n") and "\\" in said
    assert all(one.isprintable() for line in said.split("\n") for one in line)
