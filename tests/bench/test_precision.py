"""What single precision costs LRP is measured against double precision and zennit."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torchvision.models.resnet import BasicBlock, ResNet

from bench.precision import Run, data_norms, difference, measured, page, random_norms, switched

FINE = Run((1e-9, 1e-8), (2e-6, 3e-6), (4e-6, 5e-6), (6e-6, 7e-6), (0, 0))
JUMPED = Run((1e-9, 1e-8), (2e-3, 3e-3), (4e-3, 5e-3), (6e-6, 7e-6), (1, 0))


def small(norms) -> tuple[ResNet, Tensor]:
    torch.manual_seed(0)
    model = ResNet(BasicBlock, [1, 1, 1, 1], num_classes=5).eval()
    norms(model, 64)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = 0.0
        if isinstance(module, torch.nn.ReLU):
            module.inplace = False
    return model, torch.randn(1, 3, 64, 64)


@pytest.mark.parametrize("norms", [random_norms, data_norms])
def test_a_run(norms) -> None:
    model, image = small(norms)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    run = measured(model, image)
    assert max(run.double) < 1e-6
    for single in (run.single, run.ours, run.zennit):
        assert 0 < max(single) < 1e-4
    assert run.switched == (0, 0)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_neuron_that_switches_is_counted() -> None:
    single = {"a": torch.tensor([0.0, 3e-7, 1.0, -1.0]), "b": torch.tensor([0.0, 2.0])}
    double = {"a": torch.tensor([2e-8, 3e-7, 1.0, -1.0]), "b": torch.tensor([0.0, -1e-9])}
    assert switched(single, double) == 2


def test_differences_are_relative_to_the_layers_largest_value() -> None:
    expected = {"a": torch.tensor([[[[4.0]], [[-2.0]]]]), "b": torch.ones(1, 2, 1, 1)}
    found = {"a": torch.tensor([[[[5.0]], [[-2.0]]]]), "b": torch.ones(1, 2, 1, 1)}
    assert difference(found, expected) == (0.5, 0.25)


def test_the_page() -> None:
    text = page({("resnet18", 64, "random"): [FINE, FINE, JUMPED], ("vgg16", 64, "none"): [FINE]})
    assert (
        "| resnet18 | 64 | random | 3 | 1e-09, 1e-09 | 2e-06, 2e-03 | 4e-06, 4e-03 | 6e-06, 6e-06 "
        "| 2, 3 |" in text
    )
    assert "| resnet18 | 64 | random | 3 | 1 | 0 |" in text
    assert "of 4 runs: in float64 the two libraries' maps differ by at most 1e-09" in text
    assert "ours in float64 in 3, and zennit's of zennit's in 4." in text
    assert (
        "Of the 3 runs without one, ours differs by at most 5e-06, zennit's by at most 7e-06"
        in text
    )
    assert "the 1 runs with at least one, by up to 5e-03 and 7e-06" in text
