"""Cutting a model: the right points, the model's own names and output, and helpful refusals."""

from __future__ import annotations

import pytest
import torch
from networks import Aliased, Attentive, Functional, Residual, Undecided, randomised
from torch import nn

from naflow import BadInput, NAFlow, UnsupportedModel
from naflow.explainers import HiResCAM
from naflow.run.preserve import preserved
from naflow.units import units_of_graph
from naflow.units_by_name import units_by_name


def units(model: nn.Module, size: int = 16):
    with preserved(model):
        return units_of_graph(model, torch.randn(2, 3, size, size))


def test_names_are_the_models_own() -> None:
    names = [unit.name for unit in units(Residual())]
    assert names == [
        "conv1", "bn1", "relu", "maxpool", "layer1.0.add", "layer1.0", "layer1.1.add", "layer1.1",
        "mean", "fc",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", [Residual, Functional, Aliased])
def test_units_compute_the_models_own_output(kind: type[nn.Module]) -> None:
    model, x = randomised(kind()).eval(), torch.randn(2, 3, 16, 16)
    chain = units(model)
    with torch.no_grad():
        expected = model(x.clone())
        with preserved(model):
            for unit in chain:
                x = unit(x)
    assert torch.allclose(x, expected, atol=1e-6)


def test_functions_get_the_rules_of_modules() -> None:
    kinds = [unit.kind for unit in units(Functional())]
    assert kinds[:7] == ["Conv2d", "ReLU", "MaxPool2d", "Conv2d", "ReLU", "MaxPool2d", "Identity"]


def test_a_residual_block_is_one_unit() -> None:
    blocks = [unit for unit in units(Residual()) if unit.name.endswith("add")]
    assert len(blocks) == 2
    assert all(block.kind.startswith("block of") for block in blocks)


def test_another_batch_size_runs_through_the_same_explainer() -> None:
    explainer = HiResCAM(Functional())
    for batch in (2, 5, 1):
        assert explainer(torch.randn(batch, 3, 16, 16)).maps["conv1"].shape == (batch, 16, 16)


def test_a_replaced_module_is_noticed() -> None:
    model, x = Residual(), torch.randn(1, 3, 16, 16)
    explainer = HiResCAM(model)
    before = explainer(x).score
    model.fc = nn.Linear(6, 4)
    assert not torch.equal(explainer(x).score, before)
    assert torch.equal(explainer(x).score, model.eval()(x).max(1).values.detach())


def test_attention_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedModel, match="'attend' is self-attention"):
        NAFlow(Attentive())(torch.randn(1, 3, 16, 16))


def test_untraceable_model_gets_the_reason_and_the_way_out() -> None:
    model, x = Undecided(), torch.randn(2, 3, 8, 8)
    with pytest.raises(UnsupportedModel, match=r"Undecided.forward.*units="):
        NAFlow(model)(x)


def test_units_by_hand() -> None:
    model, x = (
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 3)),
        torch.randn(2, 3, 8, 8),
    )
    with preserved(model):
        chain = units_by_name(model, ["0", "1", "2"], x)
    assert [unit.name for unit in chain] == ["0", "1", "2"]


def test_flow_of_an_untraceable_model_by_hand() -> None:
    class Straight(Undecided):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.body(self.stem(x))
            return self.fc(x.mean((2, 3)) if x.sum() < 1e9 else x.amax((2, 3)))

    model, x = Straight(), torch.randn(2, 3, 8, 8)
    flow = NAFlow(model, "damped", units=["stem", "body"])(x)
    assert flow.layers == ["stem", "body"]
    assert torch.allclose(flow["body"], HiResCAM(model, units=["stem", "body"])(x)["body"])


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        (["stem", "bodi"], BadInput, "no module 'bodi'.*'body'"),
        (["body", "stem"], UnsupportedModel, "'body' is not fed by the images"),
        (["stem", "fc"], UnsupportedModel, "'fc' is not fed by 'stem'"),
        ([], BadInput, "names no module"),
    ],
)
def test_wrong_units_by_hand(names: list[str], error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        NAFlow(Undecided(), units=names)(torch.randn(1, 3, 8, 8))


def test_hooks_are_part_of_the_model() -> None:
    model, x = Residual().eval(), torch.randn(1, 3, 16, 16)
    model.layer1.register_forward_hook(lambda m, a, y: 2 * y)
    assert torch.allclose(HiResCAM(model)(x).score, model(x).max(1).values)


def test_a_hook_that_cannot_be_traced_is_noticed() -> None:
    model = Residual()
    model.register_forward_hook(lambda m, a, y: 2 * y)
    with pytest.raises(UnsupportedModel, match="another output than the model"):
        NAFlow(model)(torch.randn(1, 3, 16, 16))
