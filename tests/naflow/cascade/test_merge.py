"""Units grouped as the authors' code does."""

from __future__ import annotations

import pytest
import torch
from networks import Residual, randomised
from torch import Tensor, nn

from naflow import BadInput, NAFlow
from naflow.cascade.merge import merged_as_paper
from naflow.reverse.record import record
from naflow.run.preserve import preserved
from naflow.scores import ClassLogit


class Narrowing(nn.Module):
    """`c` has fewer outputs than inputs: it is merged back to `b`, which has fewer inputs. Of
    signals (rank 1), pictures or volumes (3)."""

    def __init__(self, rank: int = 2) -> None:
        super().__init__()
        conv = getattr(nn, f"Conv{rank}d")
        self.a = conv(3, 2, 3, padding=1)
        self.b = conv(2, 8, 3, padding=1)
        self.c = conv(8, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(self.b(self.a(x)).tanh() / 2).flatten(2).mean(2)


@pytest.fixture(params=[1, 2, 3])
def rank(request: pytest.FixtureRequest) -> int:
    return request.param


@pytest.fixture
def images(rank: int) -> Tensor:
    return torch.rand(1, 3, *[6] * rank, dtype=torch.float64)


def test_what_is_merged_and_what_it_computes(rank: int, images: Tensor) -> None:
    model = Narrowing(rank).double()
    with preserved(model):
        found = list(record(model, images, ClassLogit()).descend())
    assert [layer.name for layer in found] == ["c", "div", "tanh", "b", "a", "input"]
    merged = merged_as_paper(found)
    assert [layer.name for layer in merged] == ["c", "a", "input"]
    deepest, shallowest, _ = merged
    assert deepest.unit is not None
    conv = f"conv{rank}d"
    assert [o.name for o in deepest.unit.operations] == [conv, "tanh", "div", conv]
    assert deepest.unit.kind == "block of 4 operations" and deepest.unit.name == "c"
    torch.testing.assert_close(deepest.unit(shallowest.activation), deepest.activation)
    torch.testing.assert_close(
        deepest.unit(2 * shallowest.activation),
        model.c((model.b(2 * shallowest.activation)).tanh() / 2),
    )
    by_name = {layer.name: layer for layer in found}
    for layer in merged:
        assert torch.equal(layer.importance, by_name[layer.name].importance)
        assert torch.equal(layer.activation, by_name[layer.name].activation)


def test_a_merged_unit_is_inverted_as_one(rank: int, images: Tensor) -> None:
    """The flow of `paper` at `a` is that of the dense least squares of the three units."""
    model = Narrowing(rank).double()
    flow = NAFlow(model, "paper", tol=1e-13, max_iterations=4000)(images, keep=("bpfm",))
    assert flow.layers == ["a", "c"]
    x = model.a(images).detach()
    whole = torch.autograd.functional.jacobian(lambda v: model.c(model.b(v).tanh() / 2), x)
    equations, unknowns = 4 * 6**rank, 2 * 6**rank
    matrix = whole.reshape(equations, unknowns)
    with torch.no_grad():
        offset = model.c(model.b(torch.zeros_like(x)).tanh() / 2)  # the authors' f(0)
    right = (flow.bpfm["c"] - offset).flatten()
    kept = torch.arange(equations) < unknowns  # the first equations
    expected = torch.linalg.lstsq(matrix[kept], right[kept, None], driver="gelsd").solution
    gap = matrix[kept] @ (flow.bpfm["a"].flatten() - expected[:, 0])
    assert float(gap.norm() / right[kept].norm()) < 1e-6


@pytest.mark.parametrize("preset", ["paper", "released"])
def test_a_layer_that_merging_loses_cannot_be_asked_for(
    preset: str, rank: int, images: Tensor
) -> None:
    model = Narrowing(rank).double()
    assert NAFlow(model, preset)(images).layers == ["a", "c"]
    with pytest.raises(BadInput, match="no layer 'tanh'"):
        NAFlow(model, preset)(images, layers=["tanh"])


def test_inside_blocks_nothing_is_merged() -> None:
    model, images = randomised(Residual()).double().eval(), torch.rand(1, 3, 16, 16).double()
    flow = NAFlow(model, "paper", merge="never")(images, detail=True)
    assert {"layer1.0.conv1", "layer1.1.bn2"} <= set(flow.layers)
    assert all(found.isfinite().all() for found in flow.maps.values())
