"""Completeness: exact on piecewise linear nets, against biases moved by hand; where it fails."""

from __future__ import annotations

import copy

import pytest
import torch
from networks import Aliased, Functional, Residual, Undecided, randomised
from torch import nn
from untouched import same, state_of

from naflow.errors import BadInput
from naflow.metrics.completeness import completeness
from naflow.scores import ClassLogit


def network(kind=Residual):
    torch.manual_seed(4)
    return randomised(kind()).double().eval()


def pictures(dtype=torch.float64):
    return torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(2)).to(dtype)


def balances(model, score=None):
    return completeness(model, pictures(), score or ClassLogit([2, 0]))


class Clamped(nn.Sequential):
    """Clamps that close at both ends, a normalised input, a transposed convolution."""

    def __init__(self):
        super().__init__(
            nn.Conv2d(3, 5, 3), nn.ReLU6(), nn.ConvTranspose2d(5, 4, 2, stride=2), nn.Hardtanh(),
            nn.BatchNorm2d(4, affine=False), nn.LeakyReLU(0.1), nn.AdaptiveMaxPool2d(3),
            nn.Flatten(), nn.Linear(36, 3),
        )  # fmt: skip
        with torch.no_grad():  # a channel at the bound itself, where the slope may be 0 or 1
            self[0].weight[0], self[0].bias[0] = 0, 6

    def forward(self, x):
        return super().forward(20 * (x - 0.4) / 0.3)


@pytest.mark.parametrize("kind", [Residual, Functional, Aliased, Clamped, Undecided])
def test_a_piecewise_linear_network_is_complete_at_every_cut_point(kind):
    found = balances(network(kind))
    assert next(iter(found)) == "input" and len(found) > 2
    for name, balance in found.items():
        assert float(balance.error.max()) < 1e-12, name
        assert float(balance.shifts.abs().min()) > 1e-4 or name in ("fc", "8"), name


def test_in_single_precision_rounding_is_all_that_is_left():
    model, images = network().float(), pictures(torch.float32)
    found = completeness(model, images, ClassLogit([2, 0]))
    assert 0 < max(float(balance.error.max()) for balance in found.values()) < 1e-5


BEFORE = {
    "input": (),
    "bn1": ("conv1", "bn1"),
    "maxpool": ("conv1", "bn1"),
    "layer1.0": ("conv1", "bn1", "layer1.0"),
}


@pytest.mark.parametrize("layer", BEFORE)
def test_shifts_are_how_the_score_moves_with_all_biases_behind_the_layer(layer):
    """Scaled by t, biases and running means behind the layer add t times the shifts: a hook keeps
    the layer's activation while the constants behind it are a little larger."""
    model, images = network(), pictures()
    found = completeness(model, images, ClassLogit([2, 0]))[layer]
    kept = []
    if layer != "input":
        module = model.get_submodule(layer)
        with module.register_forward_hook(lambda m, a, y: kept.append(y.detach().clone())):
            model(images)

    def score(scale):
        other = copy.deepcopy(model)
        for name, module in other.named_modules():
            if not name.startswith(BEFORE[layer] or "nothing"):
                for constant in ("bias", "running_mean"):
                    if getattr(module, constant, None) is not None:
                        getattr(module, constant).data.mul_(scale)
        if kept:
            other.get_submodule(layer).register_forward_hook(lambda m, a, y: kept[0].clone())
        return ClassLogit([2, 0])(other(images)).detach()

    moved = (score(1 + 1e-6) - score(1 - 1e-6)) / 2e-6
    torch.testing.assert_close(found.shifts, moved, rtol=1e-6, atol=1e-8)


def test_the_head_written_out():
    model = network()
    balance = balances(model)["mean"]
    torch.testing.assert_close(balance.shifts, model.fc.bias[[2, 0]].detach())
    logits = model(pictures())[[0, 1], [2, 0]].detach()
    torch.testing.assert_close(balance.score, logits)
    torch.testing.assert_close(balance.signal, logits - balance.shifts)


def test_what_is_not_piecewise_linear_is_told():
    torch.manual_seed(4)
    layers = [nn.Conv2d(3, 4, 3), nn.GELU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten()]
    model = nn.Sequential(*layers, nn.Linear(576, 3)).double()
    errors = {name: float(balance.error.max()) for name, balance in balances(model).items()}
    assert min(errors["input"], errors["0"]) > 1e-3
    assert max(errors[name] for name in ("1", "2", "3", "5")) < 1e-12


def test_the_model_is_left_as_it_was():
    model = network().train()
    before = state_of(model)
    completeness(model, pictures(), ClassLogit())
    assert same(before, state_of(model))


def test_scores_that_do_not_add_up():
    with pytest.raises(BadInput, match=r"\(2, 4\)"):
        balances(network(), score=lambda output: output)
    with pytest.raises(BadInput, match="does not depend on the images"):
        balances(network(), score=lambda output: output.detach().sum(1))
