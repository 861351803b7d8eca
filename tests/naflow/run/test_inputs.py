"""Bad images and scores: one clear sentence, before expensive work, and never a NaN map."""

from __future__ import annotations

import pytest
import torch
from networks import Residual
from torch import nn

from naflow import BadInput, NAFlow, NotFinite, UnsupportedModel
from naflow.explainers import GradCAM

good = torch.ones(2, 3, 16, 16)
spoiled = good.clone()
spoiled[1, 0, 0, 0] = float("nan")


@pytest.mark.parametrize("kind", [NAFlow, GradCAM])
@pytest.mark.parametrize(
    ("images", "message"),
    [
        (good[0], r"shape \(3, 16, 16\).*images\[None\]"),
        (good[:, :, 0, 0], r"shape \(2, 3\).*\(B, C, H, W\)"),
        (good[:0], "nothing to explain"),
        (good[:, :1], "16, 16"),
        (good.to(torch.uint8), r"uint8.*\.float\(\)"),
        (good.double(), "float64, the model's weights torch.float32"),
        (spoiled, r"images \[1\] hold NaN"),
        (good / 0, r"images \[0, 1\] hold NaN or infinite"),
        (good.to("meta"), "on meta: give a plain dense tensor"),
        (good[:, :, :1, :1] * 1, None),
        ([[1.0]], "is a list"),
    ],
)
def test_bad_images(kind: type, images: object, message: str | None) -> None:
    if message is None:  # one pixel is small, not wrong
        flow = kind(Residual())(images)
        assert all(found.isfinite().all() for _, found in flow)
        return
    with pytest.raises(BadInput, match=message):
        kind(Residual())(images)


def test_wrong_channels_say_what_the_model_takes() -> None:
    with pytest.raises(BadInput, match=r"Residual cannot run on images of shape \(2, 1, 16, 16\)"):
        NAFlow(Residual())(good[:, :1])


def test_half_precision_model() -> None:
    with pytest.raises(BadInput, match=r"bfloat16.*model\.float\(\)"):
        NAFlow(Residual().bfloat16())(good.bfloat16())


def test_no_module() -> None:
    with pytest.raises(BadInput, match=r"builtin_function_or_method: give a torch.nn.Module"):
        NAFlow(torch.relu)  # type: ignore[arg-type]


def test_no_convolution() -> None:
    with pytest.raises(UnsupportedModel, match="NAFlow explains convolutional networks"):
        NAFlow(nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 3)))(good)


def test_no_feature_map() -> None:
    class OnlyVectors(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 2, 16), nn.Conv2d(3, 2, 16)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cat([self.a(x).flatten(1), self.b(x).flatten(1)], 1)

    with pytest.raises(UnsupportedModel, match="No layer of the model gives a feature map"):
        NAFlow(OnlyVectors())(good)


def test_score_of_a_wrong_shape() -> None:
    with pytest.raises(BadInput, match=r"score has shape \(2, 4\).*\(2,\)"):
        NAFlow(Residual())(good, lambda output: output)


def test_score_without_gradient() -> None:
    with pytest.raises(BadInput, match="does not depend on the images"):
        NAFlow(Residual())(good, lambda output: output.detach()[:, 0])


def test_zero_gradient_everywhere() -> None:
    with pytest.raises(BadInput, match=r"images \[1\] has zero gradient everywhere at 'layer1.1'"):
        NAFlow(Residual())(good, lambda output: output[:, 0] * torch.tensor([1.0, 0.0]))


def test_weights_that_are_not_finite() -> None:
    model = Residual()
    with torch.no_grad():
        model.conv1.weight[0] = float("inf")
    with pytest.raises(NotFinite, match=r"layer 'conv1' is NaN or infinite for images \[0, 1\]"):
        NAFlow(model)(good)
