"""Units grouped as the authors' code does."""

from __future__ import annotations

import pytest
import torch
from networks import Residual, randomised
from torch import Tensor, fx, nn

from naflow import NAFlow
from naflow.chain import ChainCache
from naflow.merge import merged_as_paper
from naflow.run.preserve import preserved
from naflow.record import Record, record
from naflow.scores import ClassLogit


class Halving(nn.Module):
    """An operation that torch.fx cannot follow, unless it is told not to."""

    def __init__(self, followed: bool) -> None:
        super().__init__()
        self.followed = followed

    def forward(self, x: Tensor) -> Tensor:
        if not self.followed and x.sum() > 1e9:
            return x
        return x.tanh() / 2


class Narrowing(nn.Module):
    """`c` has fewer outputs than inputs: it is merged back to `b`, which has fewer inputs."""

    def __init__(self, followed: bool) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 2, 3, padding=1)
        self.b = nn.Conv2d(2, 8, 3, padding=1)
        self.middle = Halving(followed)
        self.c = nn.Conv2d(8, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(self.middle(self.b(self.a(x)))).mean((2, 3))


@pytest.fixture
def images() -> Tensor:
    return torch.rand(1, 3, 6, 6, dtype=torch.float64)


def recorded(model: nn.Module, images: Tensor, units: list[str] | None = None) -> Record:
    with preserved(model):
        return record(ChainCache(model, units).chain(images), images, ClassLogit(0))


@pytest.mark.parametrize("units", [None, ["a", "b", "middle", "c"]], ids=["traced", "by hand"])
def test_what_is_merged_and_what_it_computes(images: Tensor, units: list[str] | None) -> None:
    found = recorded(Narrowing(units is None).double(), images, units)
    merged = merged_as_paper(found)
    assert merged.names == ["input", "a", "c"]
    assert isinstance(merged.units[1].module, fx.GraphModule) == (units is None)
    torch.testing.assert_close(merged.units[1](merged.activations[1]), merged.activations[2])
    for name in ("a", "c"):
        torch.testing.assert_close(merged.importance[name], found.importance[name])


def test_a_model_that_is_traced_and_one_cut_by_hand_give_the_same_flow(images: Tensor) -> None:
    traced, by_hand = Narrowing(True).double(), Narrowing(False).double()
    by_hand.load_state_dict(traced.state_dict())
    expected = NAFlow(traced, "paper")(images)
    found = NAFlow(by_hand, "paper", units=["a", "b", "middle", "c"])(images)
    assert expected.layers == found.layers == ["a", "c"]
    for layer in expected.layers:
        torch.testing.assert_close(found[layer], expected[layer], rtol=1e-5, atol=1e-9)


def test_inside_blocks_nothing_is_merged() -> None:
    model, images = randomised(Residual()).double().eval(), torch.rand(1, 3, 16, 16).double()
    flow = NAFlow(model, "paper", merge="never")(images, detail=True)
    assert {"layer1.0.conv1", "layer1.1.bn2"} <= set(flow.layers)
    assert all(found.isfinite().all() for found in flow.maps.values())
