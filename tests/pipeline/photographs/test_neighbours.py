"""What is stated of neighbours in a memory bank, and the neighbours that are shown."""

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from naflow.errors import BadInput
from pipeline.models.subject import Outputs, Subject
from pipeline.photographs.neighbours import ANIMALS, StatedNeighbours
from pipeline.pictures.images import Part

IDS = ["cat", "coffee", "cat_mirrored", "coffee_mirrored"]
STATED = {"cat": "animals", "coffee": "things"}


class Given:
    """Stands for a subject: in the bank, animals lie about one axis and things about another."""

    device = torch.device("cpu")
    vectors = Subject.vectors

    def __init__(self, folder, learned=True):
        generator = torch.Generator().manual_seed(0)
        axes = torch.eye(8)[:2]
        kinds = torch.tensor([int(n >= ANIMALS * 2000) for n in range(2000)])
        bank = normalize(axes[kinds] + 0.2 * torch.randn(2000, 8, generator=generator))
        self.bank = folder / "memory.npy"
        np.save(self.bank, bank.numpy())
        self.values = axes[[0, 1, 0, 1]] if learned else axes[[1, 0, 1, 0]]

    def outputs(self, part):
        labels = torch.tensor([1, 0, 1, 0])
        classes = ["espresso", "Egyptian cat"]
        return Outputs(self.values, labels, classes, [classes[n] for n in labels], IDS)


def test_animals_lie_beside_animals(tmp_path):
    verdict = StatedNeighbours(Part(), STATED)(Given(tmp_path), 0)
    assert verdict.numbers["stated"] == 1
    assert verdict.numbers["cat: animals"] > 0.99 < verdict.numbers["coffee: things"]
    assert verdict.numbers["knn"] == 1


def test_neighbours_are_found_among_the_photographs(tmp_path):
    decisions = StatedNeighbours(Part(), STATED)(Given(tmp_path), 0).decisions
    assert [one.reference for one in decisions] == [*IDS[2:], *IDS[:2]]
    assert all(one.right for one in decisions)


def test_a_network_of_another_bank_does_not_hold_it(tmp_path, caplog):
    verdict = StatedNeighbours(Part(), STATED)(Given(tmp_path, learned=False), 0)
    assert verdict.numbers["stated"] == 0
    assert "cat: most of the vote of its neighbours in the memory bank is stated" in caplog.text


def test_what_is_missing_is_said(tmp_path):
    subject = Given(tmp_path)
    with pytest.raises(BadInput, match=r"verify\.stated\.cat=plants: it must be animals or"):
        StatedNeighbours(Part(), {"cat": "plants"})(subject, 0)
    subject.bank.unlink()
    with pytest.raises(BadInput, match=r"no memory bank.*python -m pipeline\.fetch"):
        StatedNeighbours(Part(), STATED)(subject, 0)
