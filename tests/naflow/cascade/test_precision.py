"""What rounding does to undamped inverses, and what tells of it: runs in float64 are the oracle."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from naflow import NAFlow
from naflow.linalg import Stop


def ill_conditioned(low: int, seed: int) -> nn.Sequential:
    """A network whose second convolution has singular values from 1 down to 10^-low."""
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(3, 5, 3, padding=1),
        nn.LeakyReLU(0.1),
        nn.Conv2d(5, 5, 3, padding=1),
        nn.Sigmoid(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(5, 4),
    )
    with torch.no_grad():
        weight = model[2].get_parameter("weight")
        u, s, v = torch.linalg.svd(weight.flatten(1), full_matrices=False)
        weight.copy_((u * torch.logspace(0, -low, len(s)) @ v).view_as(weight))
    return model.eval()


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("low", [4, 6])
def test_the_iteration_limit_tells_of_rounding_and_the_residual_does_not(
    low: int, seed: int
) -> None:
    model = ill_conditioned(low, seed)
    image = torch.randn(1, 3, 6, 6)
    single = NAFlow(model, "plain")(image)
    double = NAFlow(copy.deepcopy(model).double(), "plain")(image.double())
    doubted, wrong = False, 0
    for layer in reversed(single.layers):  # deep to shallow
        stats = single.stats[layer]
        doubted |= Stop.ITERATION_LIMIT in stats.stop
        error = (single[layer] - double[layer]).abs().max() / double[layer].abs().max()
        if not doubted:
            assert error < 1e-5
        elif error > 1e-2:
            assert float(stats.residual.max()) < 1e-3
            wrong += 1
    assert wrong == 2  # the unit that is ill-conditioned, and the exact one below it


@pytest.mark.parametrize("preset", ["plain", "paper"])
def test_in_float64_a_batch_is_its_single_images(preset: str) -> None:
    explain = NAFlow(ill_conditioned(6, 0).double(), preset)
    images = torch.randn(2, 3, 6, 6, dtype=torch.float64)
    batch = explain(images)
    for index in range(len(images)):
        for layer, alone in explain(images[index : index + 1]):
            largest = alone.abs().max()
            assert float((batch[layer][index] - alone[0]).abs().max()) <= 1e-6 * float(largest)
