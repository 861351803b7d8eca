"""Abandoning what speaks against the score: the rule by hand, and through a whole network."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import Residual, randomised
from torch import nn

from naflow import NAFlow, scores
from naflow.explainers import HiResCAM
from naflow.reverse.abandon import CHANCE, Rule, disputed, doubtful, opposing
from naflow.reverse.record import record
from naflow.run.preserve import preserved


def test_by_hand() -> None:
    importance = torch.tensor([3.0, -1.0, 1.0, 0.0]).view(1, 4, 1, 1)
    activation = torch.tensor([1.0, 2.0, 1.0, 5.0]).view(1, 4, 1, 1)
    # contributions 3, -2, 1, 0: of the 4 that speak for it, 2 are left
    left = opposing(importance, activation)
    assert left.importance.flatten().tolist() == [1.5, 0, 0.5, 0]
    assert left.evidence.tolist() == [[[2.0]]] and left.share.tolist() == [0.5]
    assert not opposing(-importance, activation).importance.any()
    # a second place, undisputed, of contributions 2, 0, 0, 0: half of the first is disputed, so
    # that it counts half as much beside it, and both add up to 2 + 2 as before
    importance = torch.cat([importance, torch.tensor([2.0, 0, 0, 0]).view(1, 4, 1, 1)], 3)
    activation = torch.cat([activation, torch.ones(1, 4, 1, 1)], 3)
    left = disputed(importance, activation)
    evidence = torch.tensor([1.0, 2.0]) * 4 / 3
    torch.testing.assert_close(left.evidence.flatten(), evidence)
    torch.testing.assert_close((left.importance * activation).sum(1).flatten(), evidence)
    assert left.share.tolist() == [3 / 8]


@settings(deadline=None)
@given(st.integers(0, 10_000))
def test_a_place_keeps_its_net_contribution_where_it_speaks_for_the_score(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    importance, x = torch.randn(2, 3, 5, 4, 4, generator=generator, dtype=torch.float64)
    left = opposing(importance, x).importance
    torch.testing.assert_close((left * x).sum(1), (importance * x).sum(1).relu())
    assert (left * x >= 0).all()
    assert (left.abs() <= importance.abs() * (1 + 1e-12)).all()
    assert (left[importance * x <= 0] == 0).all()


@settings(deadline=None)
@given(st.integers(0, 10_000))
def test_what_is_disputed_counts_by_its_agreement(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    importance, x = torch.randn(2, 3, 5, 4, 4, generator=generator, dtype=torch.float64)
    contribution = importance * x
    speaks_for, net = contribution.relu().sum(1), contribution.sum(1).relu()
    agreement = net / speaks_for.clamp(min=1e-300)
    left, share = disputed(importance, x), net * agreement
    scale = net.sum((1, 2), keepdim=True) / share.sum((1, 2), keepdim=True)
    torch.testing.assert_close(left.evidence, share * scale)
    torch.testing.assert_close((left.importance * x).sum(1), left.evidence)
    used = (left.importance != 0).flatten(1).double().mean(1)
    torch.testing.assert_close(left.share, used)
    undisputed = importance.abs()  # of activations that are nowhere negative: nothing is abandoned
    torch.testing.assert_close(disputed(undisputed, x.abs()).importance, undisputed)


def test_what_could_be_chance_by_hand() -> None:
    # contributions 3, -1, 1 of one place, and -2, 0, 0 of another: e^2 = 9, CHANCE^2 s^2 = 4 * 11
    importance = torch.tensor([[3.0, -2.0], [-1.0, 0.0], [1.0, 0.0]]).view(1, 3, 1, 2)
    activation = torch.ones(1, 3, 1, 2)
    assert not doubtful(importance, activation, True).importance.any()
    below = doubtful(importance, activation, False)  # one place is left, of what adds up to 3
    assert below.evidence.flatten().tolist() == pytest.approx([3, 0])
    # sixteen alike: e = 16, s^2 = 16, a = 1; beside it e = 8, s^2 = 8, so e^2 = 2 CHANCE^2 s^2
    importance = torch.ones(1, 16, 1, 2)
    importance[:, 8:, :, 1] = 0
    found = doubtful(importance, torch.ones(1, 16, 1, 2), True).evidence.flatten()
    kept = torch.tensor([16 * (1 - 4 / 16), 8 * (1 - 4 / 8)])
    torch.testing.assert_close(found, kept * 24 / kept.sum())
    found = doubtful(importance, torch.ones(1, 16, 1, 2), False).evidence.flatten()
    kept = torch.tensor([16 * 16 / (16 + 4), 8 * 8 / (8 + 4)])
    torch.testing.assert_close(found, kept * 24 / kept.sum())


def test_of_random_signs_as_little_is_left_as_a_normal_law_says() -> None:
    generator = torch.Generator().manual_seed(0)
    activation = torch.rand(16, 256, 64, 64, generator=generator)
    signs = torch.randint(0, 2, activation.shape, generator=generator) * 2.0 - 1
    left = doubtful(signs, activation, True).evidence > 0
    beyond = 0.5 * math.erfc(CHANCE / math.sqrt(2))  # 2.3 % of a normal law
    assert left.double().mean().item() == pytest.approx(beyond, abs=0.002)


@pytest.mark.parametrize("rule", [opposing, disputed, doubtful])
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("scale", [1e-25, 1e15])
def test_the_scale_of_a_score_changes_nothing(rule: Rule, last: bool, scale: float) -> None:
    generator = torch.Generator().manual_seed(0)
    importance, x = torch.randn(2, 2, 6, 5, 5, generator=generator)
    importance = importance + 1  # or the last layer has nothing beyond chance
    expected = rule(importance, x.abs(), last).evidence
    assert expected.any()
    found = rule(importance * scale, x.abs(), last).evidence
    torch.testing.assert_close(found / found.sum(), expected / expected.sum())


def test_places_of_little_matter_beside_others_stay_numbers() -> None:
    importance = torch.ones(1, 8, 1, 2) * torch.tensor([1.0, 1e-30])
    for last in (True, False):
        left = doubtful(importance, torch.ones(1, 8, 1, 2), last)
        found = left.evidence.flatten()
        assert found[1] / found[0] == pytest.approx(1e-30, rel=1e-5)


def test_a_class_for_which_nothing_speaks_is_a_flow_of_zeros() -> None:
    model = randomised(Residual(32, classes=2)).double().eval()
    signs = torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(16)
    model.fc.weight.data = torch.stack([torch.ones(32, dtype=torch.float64), signs])
    images = torch.randn(1, 3, 16, 16, dtype=torch.float64).expand(2, -1, -1, -1)
    both = scores.ClassLogit([0, 1])
    flow = NAFlow(model, "tested", contrast=False)(images, both)
    for layer, found in flow:  # nor is what the first has lost on the way down
        assert found[0].any() and not found[1].any(), layer
    assert NAFlow(model, "selective", contrast=False)(images, both)[flow.layers[0]][1].any()


@pytest.fixture
def model() -> nn.Module:
    return randomised(Residual()).double().eval()


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(3, 3, 16, 16, dtype=torch.float64)


@pytest.mark.parametrize("rule", [opposing, disputed, doubtful])
def test_the_reverse_pass_is_the_cascade_unit_by_unit(
    model: nn.Module, images: torch.Tensor, rule: Rule
) -> None:
    score = scores.ClassContrast()
    with preserved(model):
        plain = list(record(model, images, score).descend())
        found = list(record(model, images, score, abandon=rule).descend())
    alpha = rule(plain[0].importance, plain[0].activation, True).importance
    torch.testing.assert_close(found[0].importance, alpha)
    for above, layer, left in zip(plain, plain[1:], found[1:], strict=False):
        assert above.unit is not None
        x = layer.activation.clone().requires_grad_()
        alpha = torch.autograd.grad(above.unit(x), x, alpha)[0]
        alpha = rule(alpha, x.detach(), False).importance if layer.feature_map else alpha
        torch.testing.assert_close(left.importance, alpha)
    assert found[-1].name == "input" and len(found) == 9


def test_selective_maps_are_what_is_left(model: nn.Module, images: torch.Tensor) -> None:
    flow = NAFlow(model, "selective", abandon="opposing")(images, keep=["importance", "bpfm"])
    last = flow.layers[-1]
    torch.testing.assert_close(flow[last], HiResCAM(model)(images, scores.ClassContrast())[last])
    totals = [found.sum((1, 2)) for _, found in flow]
    assert all((found >= 0).all() for _, found in flow)
    assert (torch.stack(totals) > 0).all()
    for layer in flow.layers:
        assert (flow.importance[layer] * flow.bpfm[layer] >= -1e-12).all(), layer
        assert (flow.stats[layer].abandoned > 0.1).all(), layer


def test_single_images_give_what_the_batch_gives(model: nn.Module, images: torch.Tensor) -> None:
    explainer = NAFlow(model, "selective")
    batch = explainer(images)
    for number in range(len(images)):
        alone = explainer(images[number : number + 1])
        for layer in batch.layers:
            torch.testing.assert_close(alone[layer][0], batch[layer][number])


def test_nothing_that_speaks_for_the_score_is_a_map_of_zeros(images: torch.Tensor) -> None:
    class Against(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.relu = nn.Conv2d(3, 4, 3), nn.ReLU()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return -self.relu(self.conv(x)).mean((2, 3))

    flow = NAFlow(Against().double(), "selective", contrast=False)(images, scores.ClassLogit(0))
    assert all((found == 0).all() for _, found in flow)


def test_abandoning_goes_with_any_inverse(model: nn.Module, images: torch.Tensor) -> None:
    selective = NAFlow(model, "selective")(images)
    settings = {"abandon": "disputed", "contrast": True}
    proximal = NAFlow(model, "proximal", damping=100.0, **settings)(images)
    assert torch.allclose(selective["layer1.0"], proximal["layer1.0"], rtol=1e-2)
