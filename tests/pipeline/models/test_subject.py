"""Outputs for whole parts, and a memory bank that has to fit."""

import numpy as np
import pytest
import torch
from torch import nn

from naflow.errors import BadInput
from pipeline.models import subject as module
from pipeline.models.subject import Subject, outputs
from pipeline.pictures.images import Folder, Part


class Means(nn.Module):
    """Images (B, 3, H, W) -> their channel means (B, 3)."""

    def __init__(self):
        super().__init__()
        self.one = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return self.one * x.mean((2, 3))


@pytest.fixture
def subject(scenes, tmp_path):
    columns = {"label": "class", "group": "class_split"}
    folder = Folder(str(scenes), "shapes", "index.csv", columns)
    half = [0.5] * 3
    return Subject(Means(), None, folder, "crop", 32, half, half, tmp_path / "bank.npy", True)


def test_outputs_in_blocks_are_those_of_one(subject, monkeypatch):
    whole = subject.outputs(Part("base", "train"))
    assert whole.values.shape == (12, 3)
    assert whole.labels.bincount().tolist() == [6, 6]
    monkeypatch.setattr(module, "AT_ONCE", 5)
    parts = subject.outputs(Part("base", "train"))
    torch.testing.assert_close(parts.values, whole.values)
    assert torch.equal(parts.labels, whole.labels)


def test_labels_are_numbers_of_the_outputs_names(subject):
    named = Subject(**(vars(subject) | {"classes": ["key", "disc", "cross"]}))
    assert set(named.outputs(Part("novel")).labels.tolist()) == {0}
    assert set(named.outputs(Part("base")).labels.tolist()) == {1, 2}


def test_a_nan_is_told(subject):
    with torch.no_grad():
        subject.network.one.fill_(float("nan"))
    with pytest.raises(BadInput, match="NaN or infinity for 4 of 4 pictures"):
        outputs(subject.network, torch.zeros(4, 3, 8, 8), [0.5] * 3, [0.5] * 3)


def test_memory(subject, monkeypatch):
    with pytest.raises(BadInput, match=r"there is no memory bank.*recipe\.verify\.known"):
        subject.memory()
    np.save(subject.bank, np.eye(4, dtype=np.float32))
    monkeypatch.setattr(subject.folder, "bank_labels", lambda: torch.tensor([0, 0, 1, 1]))
    assert torch.equal(subject.memory().values, torch.eye(4))
    monkeypatch.setattr(subject.folder, "bank_labels", lambda: torch.tensor([0, 0, 1]))
    with pytest.raises(BadInput, match="has 4 vectors, but shapes has 3 training pictures"):
        subject.memory()


@pytest.mark.parametrize(
    "bank",
    [
        b"",
        b"an error page",
        np.ones(3, np.float32),
        np.ones((3, 2), int),
        np.full((3, 2), np.nan, np.float32),
    ],
    ids=["empty", "page", "flat", "whole numbers", "NaN"],
)
def test_a_damaged_memory_bank_is_a_sentence(subject, bank):
    np.save(subject.bank, bank) if isinstance(bank, np.ndarray) else subject.bank.write_bytes(bank)
    with pytest.raises(BadInput, match=r"bank\.npy is damaged, or no memory bank .*Remove it"):
        subject.vectors()
