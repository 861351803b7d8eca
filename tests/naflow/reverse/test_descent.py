"""The reverse pass that goes down as it is asked, against one that is done at once."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Sequence

import pytest
import torch
from networks import Residual, randomised
from torch import Tensor, nn

from naflow import BadInput, NAFlow, NotFinite
from naflow.reverse.abandon import Rule, disputed
from naflow.chain import ChainCache
from naflow.explainers import GradCAM
from naflow.importance import Importance, importance_at_once
from naflow.run.preserve import preserved
from naflow.record import Record, record
from naflow.scores import ClassLogit

NAMES = ["a", "b", "c"]


class Skipping(nn.Module):
    """Three convolutions, one after the other, and a head that reads the outputs it is told to;
    torch.fx cannot follow it."""

    def __init__(self, reads: Sequence[str], *, detached: bool = False) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3)
        self.reads, self.detached = reads, detached

    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 1e9:
            x = x / 2
        a = self.a(x)
        b = self.b(a)
        made = {"a": a, "b": b, "c": self.c(b.detach() if self.detached else b)}
        return sum((made[name] ** 2).mean((2, 3)) for name in self.reads)


@pytest.fixture
def images() -> Tensor:
    return torch.rand(2, 3, 16, 16, dtype=torch.float64)


def recorded(
    model: nn.Module,
    images: Tensor,
    units: list[str] | None = None,
    abandon: Rule | None = None,
    detail: bool = False,
) -> Record:
    with preserved(model):
        chain = ChainCache(model, units).chain(images)
        return record(chain, images, ClassLogit(0), abandon=abandon, detail=detail)


@pytest.mark.parametrize("detail", [False, True])
def test_every_importance_is_the_gradient(images: Tensor, detail: bool) -> None:
    model = randomised(Residual()).double().eval()
    with preserved(model), torch.enable_grad():
        chain = ChainCache(model).chain(images)
        x = images.clone().requires_grad_()
        activations, inner, output = chain.forward(x, chain.opened(detail))
        points = dict(
            zip(["input", *(u.name for u in chain.units)], [x, *activations], strict=True)
        )
        for maps in inner.values():
            points |= maps
        gradients = torch.autograd.grad(output[:, 0].sum(), list(points.values()))
    expected = dict(zip(points, gradients, strict=True))
    found = recorded(model, images, detail=detail)
    assert bool(found.inner) == detail
    for name in {*found.names, *found.layers}:
        torch.testing.assert_close(found.importance[name], expected[name])


def test_it_goes_no_further_than_asked_and_frees_what_it_passed() -> None:
    made = [torch.rand(1, 2, 3, 3, requires_grad=True)]
    for _ in range(4):
        made.append(made[-1].sin())
    alive = [weakref.ref(x) for x in made]
    links = [{str(number): x} for number, x in enumerate(made)]
    importance = Importance(made[-1].sum().view(1), links, {})
    del made, links
    assert importance["3"].shape == (1, 2, 3, 3)
    gc.collect()
    assert [x() is not None for x in alive] == [True, True, True, True, False]
    assert importance["0"].shape == importance["4"].shape
    del importance["4"]
    for name in ("4", "another"):
        with pytest.raises(KeyError, match=name):
            importance[name]


def test_a_layer_that_the_score_does_not_reach_has_none() -> None:
    x = torch.rand(1, 1, 2, 2, requires_grad=True)
    y = x.detach().requires_grad_() * 2
    importance = Importance(y.sum().view(1), [{"x": x}, {"y": y}], {})
    assert torch.equal(importance["x"], torch.zeros(1, 1, 2, 2))
    at_once = importance_at_once(y.sum().view(1), {"x": x, "y": y}, {"y": lambda g, _: 3 * g})
    assert torch.equal(at_once["x"], torch.zeros(1, 1, 2, 2))
    assert torch.equal(at_once["y"], torch.full((1, 1, 2, 2), 3.0))


def test_nan_is_named() -> None:
    x = torch.zeros(2, 1, 2, 2, requires_grad=True)
    y = (x + torch.tensor([0.0, 1.0]).view(2, 1, 1, 1)).sqrt()  # of infinite slope at 0
    importance = Importance(y.sum((1, 2, 3)), [{"x": x}, {"y": y}], {})
    assert importance["y"].isfinite().all()
    with pytest.raises(NotFinite, match=r"gradient at layer 'x'.*images \[0\]"):
        importance["x"]


@pytest.mark.parametrize("abandon", [None, disputed])
def test_ways_round_a_unit_named_by_hand_count(images: Tensor, abandon: Rule | None) -> None:
    """What is passed on by the layer above is joined by what comes round it."""
    model = Skipping(["a", "c"]).double()
    found = recorded(model, images, NAMES, abandon)
    a, b, c = (x.clone().requires_grad_() for x in found.activations[1:])
    rule = abandon or (lambda alpha, _: alpha)

    def head(x: Tensor) -> Tensor:
        return (x[:, 0] ** 2).mean((1, 2)).sum()

    alpha = rule(torch.autograd.grad(head(c), c)[0], c.detach())
    torch.testing.assert_close(found.importance["c"], alpha)
    alpha = rule(torch.autograd.grad(model.c(b), b, alpha)[0], b.detach())
    torch.testing.assert_close(found.importance["b"], alpha)
    (round_it,) = torch.autograd.grad(head(a), a)
    alpha = rule(torch.autograd.grad(model.b(a), a, alpha)[0] + round_it, a.detach())
    torch.testing.assert_close(found.importance["a"], alpha)


@pytest.mark.parametrize("preset", ["selective", "damped"])
def test_a_last_layer_that_the_score_does_not_read_is_refused(images: Tensor, preset: str) -> None:
    model = Skipping(["b"]).double()
    with pytest.raises(BadInput, match="zero gradient everywhere at 'c'"):
        NAFlow(model, preset, units=NAMES)(images)


@pytest.mark.parametrize("preset", ["selective", "damped"])
def test_below_a_detached_layer_nothing_is_used(images: Tensor, preset: str) -> None:
    flow = NAFlow(Skipping(["c"], detached=True).double(), preset, units=NAMES)(images)
    assert flow["c"].any()
    assert not flow["b"].any()
    assert not flow["a"].any()


def test_a_record_that_a_flow_used_up_says_so(images: Tensor) -> None:
    model = randomised(Residual()).double().eval()
    found = recorded(model, images)
    GradCAM(model).explain(found, ["layer1.0"], ())
    assert found.at("relu")[1].any()  # above what was asked for it is used up, below not
    with pytest.raises(BadInput, match=r"'layer1\.1' was let go.*Record the pass again"):
        found.at("layer1.1")
