"""The model is left exactly as it was, also after an exception."""

from __future__ import annotations

import pytest
import torch
from networks import Residual
from untouched import explode, same, state_of

from naflow import NAFlow
from naflow.explainers import GradCAM
from naflow.run.preserve import full_precision


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("score", [None, explode])
@pytest.mark.parametrize("kind", [NAFlow, GradCAM])
def test_nothing_changes(training: bool, frozen: bool, score: object, kind: type) -> None:
    model = Residual().train(training)
    model.layer1[0].eval()  # a part that is frozen on purpose keeps its own state
    for parameter in model.parameters():
        parameter.requires_grad_(not frozen)
        parameter.grad = torch.ones_like(parameter)
    model.register_forward_hook(lambda m, a, y: None)
    before, x = state_of(model), torch.randn(2, 3, 16, 16)
    images = x.clone()
    if score is None:
        kind(model)(x)
    else:
        with pytest.raises(RuntimeError, match="boom"):
            kind(model)(x, score)
    assert same(state_of(model), before)
    assert torch.equal(x, images)
    assert not x.requires_grad


def test_works_under_no_grad() -> None:
    model, x = Residual(), torch.randn(2, 3, 16, 16)
    expected = NAFlow(model)(x)
    with torch.no_grad():
        found = NAFlow(model)(x)
    for layer in expected.layers:
        assert torch.equal(found[layer], expected[layer])


def test_train_and_eval_mode_give_the_same_flow() -> None:
    model, x = Residual(), torch.randn(2, 3, 16, 16)
    in_eval, in_train = NAFlow(model.eval())(x), NAFlow(model.train())(x)
    assert torch.equal(in_eval.score, in_train.score)
    assert torch.equal(in_eval["conv1"], in_train["conv1"])


def test_full_precision_is_undone_also_after_an_exception() -> None:
    switches = torch.backends.cudnn.conv, torch.backends.cuda.matmul
    found = [switch.fp32_precision for switch in switches]
    try:
        torch.backends.cudnn.conv.fp32_precision = "tf32"
        with full_precision():
            assert [switch.fp32_precision for switch in switches] == ["ieee", "ieee"]
        with pytest.raises(RuntimeError, match="boom"), full_precision():
            explode(torch.zeros(1))
        assert torch.backends.cudnn.conv.fp32_precision == "tf32"
        assert torch.backends.cuda.matmul.fp32_precision == found[1]
    finally:
        for switch, precision in zip(switches, found, strict=True):
            switch.fp32_precision = precision
