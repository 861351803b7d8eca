"""The protocols against sums written out, on outputs that are given."""

from dataclasses import dataclass

import pytest
import torch
from torch import Generator, Tensor
from torch.nn.functional import normalize

from naflow.errors import BadInput
from pipeline.images import Part
from pipeline.protocols import Accuracy, Episodes, NearestNeighbours, Recall
from pipeline.subject import Outputs


@dataclass
class Given:
    """Stands for a subject whose outputs are known."""

    found: Outputs
    bank: Outputs | None = None

    def outputs(self, part: Part) -> Outputs:
        return self.found

    def memory(self) -> Outputs:
        return self.bank


def random(count: int, width: int, classes: int, seed: int = 0) -> Outputs:
    values = torch.randn(count, width, generator=Generator().manual_seed(seed))
    return Outputs(values, torch.arange(count) % classes)


def clusters(count: int, classes: int, spread: float) -> Outputs:
    """Pictures near their class's corner of the space."""
    noise = torch.randn(count, classes, generator=Generator().manual_seed(1))
    labels = torch.arange(count) % classes
    return Outputs(torch.eye(classes)[labels] + spread * noise, labels)


def test_accuracy():
    found = random(50, 7, 7)
    numbers = Accuracy(Part())(Given(found), seed=0)
    ranked = [row.argsort(descending=True).tolist() for row in found.values]
    for k in (1, 5):
        right = sum(int(y) in row[:k] for row, y in zip(ranked, found.labels, strict=True))
        assert numbers[f"top{k}"] == pytest.approx(right / 50)
    assert numbers["pictures"] == 50


def test_nearest_neighbours():
    bank, found = random(40, 6, 4), random(10, 6, 4, seed=1)
    bank = Outputs(normalize(bank.values), bank.labels)
    found = Outputs(normalize(found.values), found.labels)
    numbers = NearestNeighbours(Part(), neighbours=9, temperature=0.1)(Given(found, bank), seed=0)
    right = 0
    for query, label in zip(found.values, found.labels, strict=True):
        votes = [0.0] * 4
        pairs = zip((bank.values @ query).tolist(), bank.labels.tolist(), strict=True)
        for alike, of in sorted(pairs)[-9:]:
            votes[of] += float(torch.tensor(alike / 0.1).exp())
        right += votes.index(max(votes)) == int(label)
    assert numbers["knn"] == pytest.approx(right / 10)


def test_more_neighbours_than_vectors_are_all_of_them():
    found = clusters(20, 4, 0.01)
    assert NearestNeighbours(Part())(Given(found, found), seed=0)["knn"] == 1


def test_without_a_bank_the_known_pictures_vote():
    found = clusters(20, 4, 0.01)
    assert NearestNeighbours(Part(), known=Part())(Given(found), seed=0)["knn"] == 1


def test_episodes_of_clusters_are_easy_and_of_noise_are_chance():
    easy = Episodes(Part(), queries=5, episodes=20)(Given(clusters(80, 8, 0.01)), seed=0)
    assert easy["accuracy"] == 1
    assert easy["interval"] == 0
    noise = Episodes(Part(), queries=5, episodes=400)(Given(random(80, 16, 8)), seed=0)
    assert abs(noise["accuracy"] - 0.2) < 3 * noise["interval"]
    assert 0 < noise["interval"] < 0.02


def test_the_seed_draws_the_episodes():
    protocol, subject = Episodes(Part(), queries=5, episodes=5), Given(random(80, 16, 8))
    assert protocol(subject, seed=0) == protocol(subject, seed=0)
    assert protocol(subject, seed=0) != protocol(subject, seed=1)


def test_recall():
    found = random(300, 5, 6)  # more than one block of rows
    numbers = Recall(Part(), at=(1, 3))(Given(found), seed=0)
    values: Tensor = normalize(found.values)
    hits = {1: 0, 3: 0}
    for i in range(300):
        order = [j for j in (values @ values[i]).argsort(descending=True).tolist() if j != i]
        for k in hits:
            hits[k] += any(found.labels[j] == found.labels[i] for j in order[:k])
    for k, hit in hits.items():
        assert numbers[f"recall{k}"] == pytest.approx(hit / 300)


def test_recall_of_too_few_pictures():
    with pytest.raises(BadInput, match="Recall@8 needs more than 8 pictures"):
        Recall(Part())(Given(random(8, 4, 2)), seed=0)
