"""The protocols against sums written out, on outputs that are given."""

from dataclasses import dataclass

import pytest
import torch
from torch import Generator, Tensor
from torch.nn.functional import normalize

from naflow.errors import BadInput
from pipeline.judging.protocols import Accuracy, Episodes, NearestNeighbours, Recall
from pipeline.models.subject import Outputs
from pipeline.pictures.images import Part


@dataclass
class Given:
    """Stands for a subject whose outputs are known."""

    found: Outputs
    bank: Outputs | None = None
    device: torch.device | str = "cpu"

    def outputs(self, part: Part) -> Outputs:
        return self.found

    def memory(self) -> Outputs:
        return self.bank


def outputs(values: Tensor, labels: Tensor) -> Outputs:
    """With the pictures named p0, p1, ... and the classes c0, c1, ..."""
    names = [f"c{label}" for label in labels.tolist()]
    classes = [f"c{number}" for number in range(int(labels.max()) + 1)]
    return Outputs(values, labels, classes, names, [f"p{number}" for number in range(len(labels))])


def nameless(bank: Outputs) -> Outputs:
    """As a published bank: nobody knows its pictures."""
    return Outputs(bank.values, bank.labels, bank.classes, bank.names, [])


def random(count: int, width: int, classes: int, seed: int = 0) -> Outputs:
    values = torch.randn(count, width, generator=Generator().manual_seed(seed))
    return outputs(values, torch.arange(count) % classes)


def clusters(count: int, classes: int, spread: float) -> Outputs:
    """Pictures near their class's corner of the space."""
    noise = torch.randn(count, classes, generator=Generator().manual_seed(1))
    labels = torch.arange(count) % classes
    return outputs(torch.eye(classes)[labels] + spread * noise, labels)


def test_accuracy():
    found = random(50, 7, 7)
    numbers = Accuracy(Part())(Given(found), seed=0).numbers
    ranked = [row.argsort(descending=True).tolist() for row in found.values]
    for k in (1, 5):
        right = sum(int(y) in row[:k] for row, y in zip(ranked, found.labels, strict=True))
        assert numbers[f"top{k}"] == pytest.approx(right / 50)
    assert numbers["pictures"] == 50


def test_the_vote_is_taken_where_the_network_is(monkeypatch):
    """A million vectors for each of 50,000 pictures: minutes on a CPU beside an idle GPU."""
    places = set()

    def votes(self, *given):
        places.update(one.device.type for one in given)
        return torch.ones(len(given[0]), 2)

    monkeypatch.setattr(NearestNeighbours, "votes", votes)
    known = random(8, 4, 2)
    subject = Given(known, known, "meta")
    assert NearestNeighbours(Part())(subject, seed=0).numbers["pictures"] == 8
    assert places == {"meta"}


def test_nearest_neighbours():
    bank, found = random(40, 6, 4), random(10, 6, 4, seed=1)
    bank = nameless(outputs(normalize(bank.values), bank.labels))
    found = outputs(normalize(found.values), found.labels)
    numbers = NearestNeighbours(Part(), neighbours=9, temperature=0.1)(
        Given(found, bank), seed=0
    ).numbers
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
    assert NearestNeighbours(Part())(Given(found, found), seed=0).numbers["knn"] == 1


def test_without_a_bank_the_known_pictures_vote():
    found = clusters(20, 4, 0.01)
    assert NearestNeighbours(Part(), known=Part())(Given(found), seed=0).numbers["knn"] == 1


def test_a_picture_has_no_vote_on_itself():
    """Else every picture that is known as well would be decided rightly."""
    found = random(30, 4, 3)
    found = outputs(normalize(found.values), found.labels)
    verdict = NearestNeighbours(Part(), known=Part(), neighbours=1)(Given(found), seed=0)
    alike = found.values @ found.values.T
    alike.fill_diagonal_(-torch.inf)
    right = (found.labels[alike.argmax(1)] == found.labels).float().mean()
    assert 0 < right < 1
    assert verdict.numbers["knn"] == pytest.approx(float(right))


def test_a_picture_that_is_the_only_one_known_is_said():
    one = outputs(torch.eye(3)[:1], torch.tensor([0]))
    with pytest.raises(BadInput, match="p0 is the only picture known"):
        NearestNeighbours(Part(), known=Part())(Given(one), seed=0)


def test_episodes_of_clusters_are_easy_and_of_noise_are_chance():
    easy = Episodes(Part(), queries=5, episodes=20)(Given(clusters(80, 8, 0.01)), seed=0).numbers
    assert easy["accuracy"] == 1
    assert easy["interval"] == 0
    noise = Episodes(Part(), queries=5, episodes=400)(Given(random(80, 16, 8)), seed=0).numbers
    assert abs(noise["accuracy"] - 0.2) < 3 * noise["interval"]
    assert 0 < noise["interval"] < 0.02


def test_the_seed_draws_the_episodes():
    protocol, subject = Episodes(Part(), queries=5, episodes=5), Given(random(80, 16, 8))
    assert protocol(subject, seed=0) == protocol(subject, seed=0)
    assert protocol(subject, seed=0) != protocol(subject, seed=1)


def test_recall():
    found = random(300, 5, 6)  # more than one block of rows
    numbers = Recall(Part(), at=(1, 3))(Given(found), seed=0).numbers
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


def told(verdict):
    return {one.trial: one for one in verdict.decisions}


def test_decisions_agree_with_the_numbers():
    subject = Given(random(40, 4, 4), random(40, 4, 4, seed=1))
    for protocol, name in (
        (Accuracy(Part()), "top1"),
        (NearestNeighbours(Part(), neighbours=9, temperature=1), "knn"),
        (Recall(Part()), "recall1"),
        (Episodes(Part(), queries=5, ways=4, episodes=3, told=3), "accuracy"),
    ):
        verdict = protocol(subject, seed=0)
        right = [one.right for one in verdict.decisions]
        assert sum(right) / len(right) == pytest.approx(verdict.numbers[name])
        assert all(one.margin >= 0 for one in verdict.decisions)


def test_the_margin_of_a_class_is_the_lead_in_probability():
    found = outputs(torch.tensor([[2.0, 1.0, 0.0]]), torch.tensor([2]))
    (one,) = Accuracy(Part())(Given(found, None), seed=0).decisions
    p = torch.tensor([2.0, 1.0, 0.0]).softmax(0)
    assert one.margin == pytest.approx(float(p[0] - p[1]))


def test_a_neighbour_of_the_elected_class_is_the_reference():
    bank = outputs(torch.eye(3)[[0, 1, 1, 2]], torch.tensor([0, 1, 1, 2]))
    query = outputs(normalize(torch.tensor([[0.2, 0.9, 0.1]])), torch.tensor([2]))
    (one,) = NearestNeighbours(Part(), neighbours=4)(Given(query, bank), seed=0).decisions
    assert (one.label, one.predicted, one.reference) == ("c2", "c1", "p1")


def test_a_published_bank_names_no_pictures_so_another_one_measured_is_the_reference():
    bank = nameless(outputs(torch.eye(2), torch.tensor([0, 1])))
    values = normalize(torch.tensor([[1.0, 0.1], [1.0, 0.2], [0.1, 1.0]]))
    found = outputs(values, torch.tensor([0, 0, 1]))
    decisions = told(NearestNeighbours(Part())(Given(found, bank), seed=0))
    assert (decisions["p0"].reference, decisions["p1"].reference) == ("p1", "p0")


def test_without_another_picture_of_the_elected_class_there_is_no_reference(caplog):
    bank = nameless(outputs(torch.eye(3), torch.tensor([0, 1, 2])))
    values = normalize(torch.tensor([[1.0, 0.1, 0], [1.0, 0.2, 0], [0, 0.1, 1.0], [0, 1.0, 0]]))
    found = outputs(values, torch.tensor([0, 0, 0, 1]))
    decisions = told(NearestNeighbours(Part())(Given(found, bank), seed=0))
    assert [decisions[f"p{n}"].predicted for n in range(4)] == ["c0", "c0", "c2", "c1"]
    assert [decisions[f"p{n}"].reference for n in range(4)] == ["p1", "p0", "", ""]
    assert "2 of 4 pictures have no other" in caplog.text


def test_a_missing_bank_is_said_before_a_picture_is_embedded():
    class Poor:
        def outputs(self, part):
            raise AssertionError("50,000 pictures were embedded for nothing")

        def memory(self):
            raise BadInput("meta.mat is needed")

    with pytest.raises(BadInput, match=r"meta\.mat"):
        NearestNeighbours(Part())(Poor(), seed=0)


def test_episodes_tell_their_support_and_are_the_same_for_every_network():
    protocol = Episodes(Part(), ways=3, queries=2, episodes=4, told=2)
    one = told(protocol(Given(random(80, 16, 8)), seed=0))
    other = told(protocol(Given(random(80, 16, 8, seed=5)), seed=0))
    assert len(one) == 2 * 3 * 2
    assert {t: d.support for t, d in one.items()} == {t: d.support for t, d in other.items()}
    for decision in one.values():
        assert len(set(decision.support)) == 3
        assert decision.reference in decision.support
        assert decision.picture not in decision.support


def test_the_most_alike_picture_is_the_reference_of_a_retrieval():
    found = random(30, 5, 3)
    alike = normalize(found.values) @ normalize(found.values).T
    alike.fill_diagonal_(-1)
    for one in Recall(Part())(Given(found), seed=0).decisions:
        row = alike[int(one.picture[1:])]
        assert one.reference == f"p{int(row.argmax())}"
        others = row[found.labels != found.labels[row.argmax()]]
        expected = max(0.0, float(row.max() - others.max()))
        assert one.margin == pytest.approx(expected, abs=1e-6)
