"""Every loss against its formula, every batch against what it must hold."""

import math
from contextlib import nullcontext

import pytest
import torch
from torch import Generator, nn
from torch.nn.functional import cosine_similarity, normalize

from naflow.errors import BadInput
from pipeline.learning.objectives import (
    Classification,
    InstanceDiscrimination,
    MetaBaseline,
    MultiSimilarity,
)
from pipeline.learning.objectives import objective as objective_module

LABELS = torch.arange(24) % 3


class Sphere(nn.Module):
    """Images (B, 3, H, W) -> their channel means, turned and brought to norm 1."""

    def __init__(self):
        super().__init__()
        self.turn = nn.Linear(3, 4)

    def forward(self, x):
        return normalize(self.turn(x.mean((2, 3))))


@pytest.fixture(autouse=True)
def full_precision(monkeypatch):
    """The formulas are compared in float32, whatever the machine trains in."""
    monkeypatch.setattr(objective_module, "autocast", lambda device: nullcontext())


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Sphere()


@pytest.fixture
def views():
    return torch.randn(6, 3, 8, 8, generator=Generator().manual_seed(0))


def test_classification_with_a_head(network, views):
    objective = Classification(network, LABELS, 8, head=True, smoothing=0)
    chosen = torch.arange(6)
    logits = objective.head(network(views))
    assert logits.shape == (6, 3)
    expected = -logits.log_softmax(1)[chosen, LABELS[chosen]].mean()
    torch.testing.assert_close(objective(views, chosen), expected)


def test_an_epoch_shows_every_picture_once_and_never_one_alone(network):
    objective = Classification(network, torch.arange(13) % 3, 8, head=True)
    batches = list(objective.batches(objective.labels, 4, Generator().manual_seed(0)))
    assert [len(batch) for batch in batches] == [4, 4, 4]
    assert torch.cat(batches).unique().numel() == 12


def test_instance_discrimination_and_its_bank(network, views):
    objective = InstanceDiscrimination(network, LABELS, 8, temperature=0.2, momentum=0.25)
    generator, chosen = Generator().manual_seed(3), torch.tensor([3, 1, 7, 20, 9, 0])
    objective.bank.copy_(normalize(torch.randn(24, 4, generator=generator)))
    before = objective.bank.clone()
    found = network(views)
    expected = torch.stack(
        [
            -(v @ before[i] / 0.2) + sum(math.e ** (v @ m / 0.2) for m in before).log()
            for v, i in zip(found, chosen, strict=True)
        ]
    ).mean()
    loss = objective(views, chosen)
    torch.testing.assert_close(loss, expected)
    loss.backward()  # the bank was written meanwhile
    assert network.turn.weight.grad.abs().sum() > 0
    moved = normalize(0.25 * before[chosen] + 0.75 * found.detach())
    torch.testing.assert_close(objective.bank[chosen], moved)
    others = [i for i in range(24) if i not in chosen]
    assert torch.equal(objective.bank[others], before[others])


def test_meta_baseline(network):
    objective = MetaBaseline(network, LABELS, 8, ways=2, shots=2, queries=1, steps=3)
    batches = list(objective.batches(LABELS, 2, Generator().manual_seed(0)))
    assert [len(batch) for batch in batches] == [12, 12, 12]
    views = torch.randn(12, 3, 8, 8, generator=Generator().manual_seed(1))
    total = 0.0
    for first in (0, 6):  # an episode: class a support, support, query; class b the same
        v = normalize(network(views[first : first + 6]))
        centres = [(v[0] + v[1]) / 2, (v[3] + v[4]) / 2]
        for query, truth in ((v[2], 0), (v[5], 1)):
            logits = torch.stack([10 * cosine_similarity(query, c, dim=0) for c in centres])
            total = total - logits.log_softmax(0)[truth]
    torch.testing.assert_close(objective(views, batches[0]), total / 4)


def test_multi_similarity(network, views):
    objective = MultiSimilarity(network, LABELS, 8)
    chosen = torch.arange(6)  # labels 0 1 2 0 1 2
    v, y = network(views), LABELS[chosen]
    s = v @ v.T
    losses = []
    for i in range(6):
        same = [j for j in range(6) if y[j] == y[i] and j != i]
        other = [j for j in range(6) if y[j] != y[i]]
        hard_same = [s[i, j] for j in same if s[i, j] - 0.1 < max(s[i, k] for k in other)]
        hard_other = [s[i, j] for j in other if s[i, j] + 0.1 > min(s[i, k] for k in same)]
        near = sum((torch.exp(-2 * (x - 0.5)) for x in hard_same), torch.tensor(0.0))
        far = sum((torch.exp(40 * (x - 0.5)) for x in hard_other), torch.tensor(0.0))
        losses.append(torch.log1p(near) / 2 + torch.log1p(far) / 40)
    torch.testing.assert_close(
        objective(views, chosen), torch.stack(losses).mean(), atol=1e-4, rtol=1e-4
    )


def test_multi_similarity_batches(network):
    objective = MultiSimilarity(network, LABELS, 8, each=4, steps=5)
    for batch in objective.batches(LABELS, 8, Generator().manual_seed(0)):
        assert batch.unique().numel() == 8
        assert sorted(LABELS[batch].bincount(minlength=3).tolist()) == [0, 4, 4]
    with pytest.raises(BadInput, match=r"A class has 8 pictures and objective\.each=9"):
        list(MultiSimilarity(network, LABELS, 8, each=9).batches(LABELS, 18, Generator()))
    with pytest.raises(BadInput, match=r"schedule\.batch=7 holds fewer than two classes"):
        list(objective.batches(LABELS, 7, Generator()))


def test_embeddings_begin_all_around_the_sphere(network):
    """From one spot, where the fresh network has them."""
    views = 5 + torch.randn(40, 3, 8, 8, generator=Generator().manual_seed(0))

    def together():
        found = network(views)
        return (found.mean(0) ** 2).sum().item()

    assert together() > 0.9
    InstanceDiscrimination(network, LABELS, 8).begin(views)
    assert together() < 0.3


def test_likenesses_are_never_rounded(views, monkeypatch):
    """The network may run in bfloat16; what is made of its outputs may not."""
    monkeypatch.setattr(
        objective_module, "autocast", lambda device: torch.autocast("cpu", torch.bfloat16)
    )
    network = Sphere()
    objective = InstanceDiscrimination(network, LABELS, 8)
    assert objective.outputs(views).dtype == torch.float32
    objective(views, torch.arange(6))  # fills the bank
    with torch.no_grad():
        logits = objective.outputs(views) @ objective.bank.T / objective.temperature
        expected = torch.nn.functional.cross_entropy(logits, torch.arange(6))
    torch.testing.assert_close(objective(views, torch.arange(6)).detach(), expected)
