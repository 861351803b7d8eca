"""The same numbers on a GPU as on the CPU. Where there is none, nothing here is run."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torchvision
from networks import randomised
from torch import Tensor, nn

from naflow import BadInput, NAFlow
from naflow.explainers import CFCAM, LRP, SGLRP, GradCAM, LayerCAM

DEVICE = torch.device("cuda")

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


@pytest.fixture
def model() -> nn.Module:
    return randomised(torchvision.models.resnet18(num_classes=5)).eval()


@pytest.fixture
def images() -> Tensor:
    return torch.rand(3, 3, 64, 64)


@pytest.mark.parametrize(
    "explainer",
    [
        NAFlow,
        lambda model: NAFlow(model, "damped"),
        lambda model: NAFlow(model, "proximal"),
        GradCAM,
        LayerCAM,
        LRP,
        SGLRP,
        lambda model: CFCAM(model, most=4),
    ],
    ids=["selective", "damped", "proximal", "Grad-CAM", "LayerCAM", "LRP", "SGLRP", "CF-CAM"],
)
def test_maps_agree(explainer: Callable, model: nn.Module, images: Tensor) -> None:
    expected = explainer(model)(images)
    found = explainer(model.to(DEVICE))(images.to(DEVICE))
    assert found.layers == expected.layers
    for layer in expected.layers:
        assert found[layer].device.type == DEVICE.type
        apart = (found[layer].cpu() - expected[layer]).abs().amax((1, 2))
        assert (apart <= 1e-4 * expected[layer].abs().amax((1, 2))).all(), layer


def test_a_solve_that_is_looked_at_seldom_stops_where_it_does_on_the_cpu(
    model: nn.Module, images: Tensor
) -> None:
    """On a GPU the host looks at the solver every eighth iteration."""
    expected = NAFlow(model, "damped")(images)
    found = NAFlow(model.to(DEVICE), "damped")(images.to(DEVICE))
    for layer, stats in expected.stats.items():
        assert (found.stats[layer].iterations - stats.iterations).abs().max() <= 1, layer
        torch.testing.assert_close(
            found.stats[layer].residual, stats.residual, rtol=1e-3, atol=1e-5
        )


def test_images_on_another_device_are_refused(model: nn.Module, images: Tensor) -> None:
    with pytest.raises(BadInput, match="images are on cpu, the model on cuda"):
        NAFlow(model.to(DEVICE))(images)
