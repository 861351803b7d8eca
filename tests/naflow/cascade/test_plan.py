"""The plan: printed before any work, true about it, and silent about nothing."""

from __future__ import annotations

from itertools import pairwise

import torch
from networks import Residual

from naflow import NAFlow


def test_plan_lists_every_unit_and_its_cost() -> None:
    explainer, images = NAFlow(Residual(), "damped"), torch.randn(2, 3, 16, 16)
    plan = explainer.plan(images)
    assert [unit.layer for unit in plan.units] == explainer(images).layers
    by_layer = {unit.layer: unit for unit in plan.units}
    assert not by_layer["conv1"].inverted
    assert by_layer["bn1"].rule == "exact, channel by channel"
    block = by_layer["layer1.0.add"]
    assert (block.inputs, block.outputs) == (6 * 4 * 4, 6 * 4 * 4)
    assert 0 < block.forwards < 2
    assert block.memory > 0
    assert plan.forwards == sum(u.forwards * plan.iterations(u) for u in plan.units)
    text = str(plan)
    for word in ("layer1.0.add", "least squares", "96 x 96", "2 image(s)", "at most"):
        assert word in text


def test_iterations_never_exceed_the_plan() -> None:
    explainer, images = NAFlow(Residual(), "damped", tol=1e-6), torch.randn(2, 3, 16, 16)
    plan, flow = explainer.plan(images), explainer(images)
    most = {above.layer: plan.iterations(above) for above in plan.units}
    order = flow.layers
    for layer, above in pairwise(order):
        assert flow.stats[layer].iterations.max() <= most[above], layer


def test_without_an_inverse_nothing_is_solved() -> None:
    plan = NAFlow(Residual(), "selective").plan(torch.randn(2, 3, 16, 16))
    assert plan.forwards == 0
    assert {unit.rule for unit in plan.units if "block" in unit.unit} == {
        "none: the forward activation"
    }
    assert "nothing is solved" in str(plan) and "at most" not in str(plan)


def test_plan_leaves_the_model_as_it_was() -> None:
    model = Residual().train()
    NAFlow(model).plan(torch.randn(1, 3, 16, 16))
    assert model.training
    assert not model.conv1._forward_hooks
