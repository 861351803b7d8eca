"""Hard pictures: the wrong ones first, then the least sure."""

import pytest
import torch

from naflow.errors import BadInput
from pipeline.hard_samples.hardest import hardest, margins

# Probabilities of three classes, and whose class is the true one.
FOUND = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.5, 0.4, 0.1], [0.05, 0.9, 0.05]])
LABELS = torch.tensor([0, 1, 0, 1])


def test_margins_are_the_own_probability_less_the_best_other():
    found = margins(FOUND.log(), LABELS)
    torch.testing.assert_close(found, torch.tensor([0.5, -0.3, 0.1, 0.85]))


def test_the_wrong_come_first_then_the_least_sure():
    assert hardest(FOUND.log(), LABELS, 1.0).tolist() == [1, 2, 0, 3]
    assert hardest(FOUND.log(), LABELS, 0.5).tolist() == [1, 2]


def test_at_least_one_and_ties_in_their_order():
    assert hardest(FOUND.log(), LABELS, 0.01).tolist() == [1]
    assert hardest(torch.zeros(3, 2), torch.zeros(3, dtype=torch.long), 1.0).tolist() == [0, 1, 2]


@pytest.mark.parametrize("share", [0, 1.5, -1])
def test_a_share_out_of_range(share):
    with pytest.raises(BadInput, match=rf"finetune.hard={share}: .* in \(0, 1\]"):
        hardest(FOUND, LABELS, share)
