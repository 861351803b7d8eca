"""Relevance at every layer: the rules by hand, zennit's values, and what is conserved."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision
from networks import Functional, Residual, Undecided, randomised
from torch import Tensor, nn
from torch.nn import functional as F
from zennit_relevance import network, prepared, relevance

from naflow import BadInput, UnsupportedModel, scores
from naflow.explainer import Explainer
from naflow.explainers import HiResCAM
from naflow.explainers.lrp import LRP, NotConserved
from naflow.explainers.rules import Rules

# --- rules, by hand ------------------------------------------------------------------------------

X = torch.tensor([[1.0, -2.0]])
W = torch.tensor([[3.0, 1.0], [-1.0, -4.0]])  # outputs (1, 7); terms (3, -2) and (-1, 8)
R = torch.tensor([[6.0, 10.0]])
BY_HAND = {
    # z+: (3, 0) / 3 of 6; (0, 8) / 8 of 10
    "z+": [6.0, 10.0],
    # (3, -2) / 1 of 6, (-1, 8) / 7 of 10
    "epsilon": [18.0 - 10 / 7, -12.0 + 80 / 7],
    # lo = -2, hi = 2: x w - lo w+ - hi w- = (3 + 6, -2 + 2) / 9 and (-1 + 2, 8 + 8) / 17
    "box": [6.0 + 10 / 17, 160 / 17],
    "flat": [8.0, 8.0],
    # 2 z+ - z-; z-: (0, -2) / -2 of 6, (-1, 0) / -1 of 10
    "alpha-beta": [12.0 - 10.0, 20.0 - 6.0],
    "contrast": [6.0 - 10.0, 10.0 - 6.0],
}


@pytest.mark.parametrize("rule", BY_HAND)
def test_rule_by_hand(rule: str) -> None:
    rules = Rules(epsilon=1e-9, bounds=(-2.0, 2.0))
    found = rules.apply(rule, R, X, F.linear, W)
    torch.testing.assert_close(found, torch.tensor([BY_HAND[rule]]))
    kept = 0.0 if rule == "contrast" else 16.0
    assert float(found.sum()) == pytest.approx(kept, abs=1e-4)


def test_nothing_over_nothing_is_nothing() -> None:
    for rule in ("z+", "epsilon", "box", "alpha-beta"):
        found = Rules().apply(rule, R, torch.zeros(1, 2), F.linear, W)
        assert not found.any(), rule


class Pair(nn.Module):
    """Two 1x1 convolutions' combination, a pixel with two channels: small enough to do by hand."""

    def __init__(self, combine) -> None:
        super().__init__()
        self.stem, self.a, self.b = (nn.Conv2d(1, 1, 1, bias=False) for _ in range(3))
        self.combine = combine
        for module, weight in ((self.stem, 1.0), (self.a, 3.0), (self.b, -1.0)):
            module.weight.data.fill_(weight)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.combine(self.a(x), self.b(x)).flatten(1)


@pytest.mark.parametrize(
    ("combine", "a", "b"),
    [
        (lambda a, b: a + b, 1.5, -0.5),  # (3 x, -x) / 2 x
        (lambda a, b: a - b, 0.75, 0.25),  # (3 x, x) / 4 x
        (lambda a, b: a.add(b, alpha=2), 3.0, -2.0),  # (3 x, -2 x) / x
        (lambda a, b: a * b.sigmoid(), 1.0, 0.0),
        (lambda a, b: (1 + b.sigmoid()) * a, 1.0, 0.0),
        (lambda a, b: a / b.exp(), 1.0, 0.0),
        (lambda a, b: a * b, 0.5, 0.5),
        (lambda a, b: torch.maximum(a, b), 1.0, 0.0),
        (lambda a, b: torch.cat([a, b], 1)[:, :1] * 5, 1.0, 0.0),
    ],
)
def test_split_by_hand(combine, a: float, b: float) -> None:
    model = Pair(combine)
    images = torch.full((2, 1, 3, 3), 2.0)
    flow = LRP(model, rules=Rules(epsilon=1e-9, first=None))(
        images, lambda output: output.sum(1), layers=["a", "b"], detail=True
    )
    for name, share in (("a", a), ("b", b)):  # of a start of 1/9 a pixel
        expected = share / 9 * torch.sign(flow.output[:, :1]).view(-1, 1, 1)
        torch.testing.assert_close(flow[name], expected.expand(2, 3, 3))


def test_a_sum_absorbs_nothing() -> None:
    """Epsilon is of the rule epsilon, not of sums and averages."""
    model = nn.Sequential(Pair(torch.add), nn.Unflatten(1, (1, 3, 3)), nn.AvgPool2d(3))
    images = torch.linspace(1, 9, 9).view(1, 1, 3, 3)
    flow = LRP(model, rules=Rules(epsilon=0.5, first=None))(
        images, lambda output: output.flatten(1).sum(1), layers=["0.a", "0.b"], detail=True
    )
    torch.testing.assert_close(flow["0.a"], 1.5 * images[0] / 45)
    torch.testing.assert_close(flow["0.b"], -0.5 * images[0] / 45)


def test_max_pool_sends_all_to_the_largest() -> None:
    model = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.MaxPool2d(2), nn.Flatten())
    model[0].weight.data.fill_(1.0)
    images = torch.tensor([[[[1.0, 2.0], [4.0, 3.0]]]])
    flow = LRP(model, last="0")(images, lambda output: output[:, 0])
    assert flow["0"].tolist() == [[[0.0, 0.0], [1.0, 0.0]]]


def test_average_pool_shares_in_proportion() -> None:
    model = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.AvgPool2d(2), nn.Flatten())
    model[0].weight.data.fill_(1.0)
    images = torch.tensor([[[[1.0, 2.0], [4.0, 3.0]]]])
    flow = LRP(model, last="0")(images, lambda output: output[:, 0])
    torch.testing.assert_close(flow["0"], torch.tensor([[[0.1, 0.2], [0.4, 0.3]]]))


# --- zennit --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "vgg16"])
def test_equals_zennit(name: str) -> None:
    torch.manual_seed(2)
    model = prepared(network(name))
    images = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    flow = LRP(model, rules=Rules(linear="epsilon", first=None, epsilon=1e-12))(
        images, scores.ClassLogit([2, 5]), keep=("importance",), detail=True
    )
    modules = dict(model.named_modules())  # a block's ReLU runs twice under one name
    layers = [layer for layer in flow.layers if layer in modules and not layer.endswith(".relu")]
    start = torch.zeros(2, 7, dtype=torch.float64)
    start[0, 2] = start[1, 5] = 1
    theirs = relevance(model, images, layers, start, fc="epsilon")
    assert len(layers) > 11
    for layer in layers:
        error = (flow.importance[layer] - theirs[layer]).abs().max() / theirs[layer].abs().max()
        assert error < 1e-5, layer


# --- conservation --------------------------------------------------------------------------------


# A depthwise convolution after hardswish has neurons without a positive term: z+ loses theirs.
LOST = {
    "vgg11_bn": 1e-5,
    "resnet18": 1e-5,
    "densenet121": 1e-5,
    "mobilenet_v3_small": 5e-2,
    "regnet_y_400mf": 1e-5,
    "convnext_tiny": 1e-5,
}


@pytest.mark.parametrize("name", LOST)
def test_conserves_relevance(name: str) -> None:
    model = getattr(torchvision.models, name)(num_classes=5)
    flow = LRP(model)(torch.randn(2, 3, 64, 64), scores.ClassLogit(3))
    assert set(flow.conservation) == set(flow.layers)
    for layer, kept in flow.conservation.items():
        assert kept.shape == (2,)
        torch.testing.assert_close(kept, torch.ones(2), rtol=0, atol=LOST[name], msg=layer)


@pytest.mark.parametrize(
    ("conv", "first"), [("z+", "box"), ("z+", "flat"), ("epsilon", None), ("z+", "epsilon")]
)
def test_every_conserving_rule(conv: str, first: str | None) -> None:
    model = randomised(Residual()).double()
    images = torch.rand(2, 3, 24, 24, dtype=torch.float64)
    flow = LRP(model, rules=Rules(conv=conv, linear=conv, first=first, epsilon=1e-12))(images)
    for layer, kept in flow.conservation.items():
        torch.testing.assert_close(kept, torch.ones(2), rtol=0, atol=1e-4, msg=layer)


class Opposed(nn.Module):
    """A sum of two branches, the one -0.9 times the other: their shares of R are -9 R and 10 R."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.against, self.for_ = (nn.Conv2d(8, 8, 3, padding=1, bias=False) for _ in range(2))
        self.head = nn.Linear(8, 4)
        self.for_.weight.data.abs_()
        self.against.weight.data.copy_(-0.9 * self.for_.weight)

    def forward(self, images: Tensor) -> Tensor:
        features = self.stem(images).relu()
        return self.head((self.against(features) + self.for_(features)).relu().mean((2, 3)))


def test_relevance_that_is_not_conserved_is_warned_of() -> None:
    with pytest.warns(NotConserved, match=r"where 1 started, 10 arrives at layer 'relu'") as caught:
        # z+ loses the share of the branch without a positive term
        flow = LRP(Opposed())(torch.rand(2, 3, 12, 12), scores.ClassLogit(1))
    torch.testing.assert_close(flow.conservation["relu"], torch.full((2,), 10.0), rtol=1e-4, atol=0)
    assert [Path(one.filename) for one in caught] == [Path(__file__)]


@pytest.mark.parametrize("kind", [Functional, Residual])
def test_functional_and_in_place_operations(kind: type[nn.Module]) -> None:
    model, images = kind().double(), torch.rand(2, 3, 16, 16, dtype=torch.float64)
    flow = LRP(model, rules=Rules(epsilon=1e-12))(images)
    with torch.no_grad():
        torch.testing.assert_close(flow.output, model.eval()(images))
    assert all(
        torch.allclose(kept, torch.ones(2), atol=1e-4) for kept in flow.conservation.values()
    )


def test_transposed_convolution_fuses_its_batch_norm() -> None:
    """A negative scale of the batch norm turns the weights over; grouped channels keep theirs."""
    scale = torch.tensor([2.0, -1.0, 0.5, -3.0])
    up, norm = nn.ConvTranspose2d(2, 4, 2, 2, groups=2, bias=False), nn.BatchNorm2d(4, eps=0.0)
    norm.weight.data.copy_(scale)
    fused = nn.ConvTranspose2d(2, 4, 2, 2, groups=2, bias=False)
    fused.weight.data.copy_(up.weight.view(2, 2, 2, 2) * scale.view(2, 2, 1, 1))
    stem, head = nn.Conv2d(3, 2, 3), nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
    images = torch.rand(1, 3, 5, 5)
    with_norm = LRP(nn.Sequential(stem, nn.ReLU(), up, norm, head))(images, scores.ClassLogit(0))
    without = LRP(nn.Sequential(stem, nn.ReLU(), fused, head))(images, scores.ClassLogit(0))
    torch.testing.assert_close(with_norm["1"], without["1"])
    passed = LRP(nn.Sequential(stem, nn.ReLU(), up, norm, head), rules=Rules(batch_norm="pass"))
    assert not torch.allclose(passed(images, scores.ClassLogit(0))["1"], without["1"])


def test_a_model_that_looks_at_its_values() -> None:
    flow = LRP(Undecided())(torch.rand(1, 3, 8, 8))
    assert flow.layers == ["stem.0", "stem.1", "body.0", "body.1"]
    assert all(
        torch.allclose(kept, torch.ones(1), atol=1e-4) for kept in flow.conservation.values()
    )


def test_the_model_stays_as_it_was() -> None:
    model = Residual().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    LRP(model)(torch.rand(1, 3, 24, 24))
    assert model.training
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


# --- refusals ------------------------------------------------------------------------------------


class Curled(nn.Module):
    def __init__(self, gate: bool) -> None:
        super().__init__()
        self.conv, self.fc, self.gate = nn.Conv2d(3, 4, 3), nn.Linear(4, 2), gate

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x = x * torch.sin(x).mean((2, 3), keepdim=True) if self.gate else torch.sin(x)
        return self.fc(x.mean((2, 3)))


def test_operation_without_a_rule() -> None:
    with pytest.raises(UnsupportedModel, match="calls 'sin', for which relevance"):
        LRP(Curled(gate=False))(torch.rand(1, 3, 8, 8))
    assert LRP(Curled(gate=True))(torch.rand(1, 3, 8, 8))["conv"].isfinite().all()


@pytest.mark.parametrize("method", [LRP, HiResCAM])
def test_a_complex_score_is_refused(method: type[Explainer]) -> None:
    with pytest.raises(BadInput, match=r"The score is complex \(torch.complex64\)"):
        method(Residual())(torch.rand(1, 3, 24, 24), lambda z: z[:, 0] * (1 + 1j))


def test_a_complex_output_is_refused() -> None:
    model = nn.Sequential(Residual(), Turned())
    with pytest.raises(BadInput, match="returns complex numbers"):
        LRP(model)(torch.rand(1, 3, 24, 24), lambda z: z.abs().sum(1))


class Turned(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 1j


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"conv": "zplus"}, "no LRP rule 'zplus'"),
        ({"alpha": 2.0, "beta": 2.0}, "alpha - beta = 1"),
        ({"epsilon": 0.0}, "must be positive"),
        ({"bounds": (1.0, 0.0)}, "lowest pixel value must come first"),
        ({"batch_norm": "drop"}, "'fuse' or 'pass'"),
    ],
)
def test_rules_refused(settings: dict, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        Rules(**settings)
