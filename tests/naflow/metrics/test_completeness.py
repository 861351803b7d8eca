"""Completeness: exact on piecewise linear nets, against biases moved by hand; where it fails."""

from __future__ import annotations

import copy

import pytest
import torch
from networks import Aliased, Functional, Residual, Undecided, randomised
from test_preserve import same, state_of
from torch import nn

from naflow.chain import ChainCache
from naflow.errors import BadInput
from naflow.metrics.completeness import completeness
from naflow.run.preserve import preserved
from naflow.scores import ClassLogit


def network(kind=Residual):
    torch.manual_seed(4)
    return randomised(kind()).double().eval()


def pictures(dtype=torch.float64):
    return torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(2)).to(dtype)


def chain_of(model, images, units=None):
    with preserved(model):
        return ChainCache(model, units).chain(images)


def balances(model, units=None, score=None):
    images = pictures()
    return completeness(chain_of(model, images, units), images, score or ClassLogit([2, 0]))


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


@pytest.mark.parametrize(
    ("kind", "units"),
    [
        (Residual, None),
        (Functional, None),
        (Aliased, None),
        (Clamped, None),
        (Undecided, ["stem", "body"]),
    ],
)
def test_a_piecewise_linear_network_is_complete_at_every_cut_point(kind, units):
    found = balances(network(kind), units)
    assert next(iter(found)) == "input" and len(found) > 2
    for name, balance in found.items():
        assert float(balance.error.max()) < 1e-12, name
        assert float(balance.shifts.abs().min()) > 1e-4 or name in ("fc", "8"), name


def test_in_single_precision_rounding_is_all_that_is_left():
    model, images = network().float(), pictures(torch.float32)
    found = completeness(chain_of(model, images), images, ClassLogit([2, 0]))
    assert 0 < max(float(balance.error.max()) for balance in found.values()) < 1e-5


@pytest.mark.parametrize("layer", ["input", "bn1", "maxpool", "layer1.0"])
def test_shifts_are_how_the_score_moves_with_all_biases_behind_the_layer(layer):
    """Scaled by t, biases and running means behind the layer add t times the shifts: the activation
    enters a copy of the rest whose constants are a little larger."""
    model, images = network(), pictures()
    chain = chain_of(model, images)
    activations, _, _ = chain.forward(images)
    names = ["input", *(unit.name for unit in chain.units)]
    start = names.index(layer)
    x = [images, *activations][start].detach()

    def score(scale):
        y = x
        for unit in copy.deepcopy(chain.units[start:]):
            for module in unit.module.modules():
                for constant in ("bias", "running_mean"):
                    if getattr(module, constant, None) is not None:
                        getattr(module, constant).data.mul_(scale)
            y = unit(y)
        return ClassLogit([2, 0])(y).detach()

    moved = (score(1 + 1e-6) - score(1 - 1e-6)) / 2e-6
    found = completeness(chain, images, ClassLogit([2, 0]))[layer]
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
    chain = chain_of(model, pictures())
    completeness(chain, pictures(), ClassLogit())
    assert same(before, state_of(model))


def test_scores_that_do_not_add_up():
    with pytest.raises(BadInput, match=r"\(2, 4\)"):
        balances(network(), score=lambda output: output)
    with pytest.raises(BadInput, match="does not depend on the images"):
        balances(network(), score=lambda output: output.detach().sum(1))
