"""Bad images and scores: one clear sentence, before expensive work, and never a NaN map."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from networks import Residual
from torch import Tensor, nn

from naflow import BadInput, NAFlow, NotFinite, UnsupportedModel
from naflow.explainers import LRP, GradCAM, SegGradCAM

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


@pytest.mark.parametrize("kind", [NAFlow, GradCAM, LRP, SegGradCAM])
@pytest.mark.parametrize(
    ("score", "message"),
    [(3, "score is 3: give"), (0, "score is 0: give"), ([], "score is a list: give"),
     (torch.tensor(0), "score is a Tensor: give"), ("cat", "score is a str: give")],
)  # fmt: skip
def test_what_is_no_score(kind: type, score: Any, message: str) -> None:
    """Class 0, too, is never taken for no score, and so for the predicted class."""
    with pytest.raises(BadInput, match=rf"{message} .*scores\.ClassLogit\(3\)"):
        kind(Residual())(good, score)


@pytest.mark.parametrize("setting", ["layers", "detail", "keep"])
@pytest.mark.parametrize("given", ["conv1", 3])
def test_what_is_no_list_of_names(setting: str, given: object) -> None:
    with pytest.raises(
        BadInput, match=rf"{setting}={given!r} is no list of names: give {setting}="
    ):
        GradCAM(Residual())(good, **{setting: given})  # ty: ignore[invalid-argument-type]


def test_names_may_come_from_anything() -> None:
    layers = ["conv1", "relu"]
    flow = GradCAM(Residual())(good, layers=iter(layers), keep={"importance"})  # type: ignore[arg-type]
    assert flow.layers == list(flow.maps) == list(flow.importance) == layers


def test_a_tensor_is_no_list_of_inputs() -> None:
    with pytest.raises(BadInput, match=r"inputs is a tensor: give .*inputs=\(tensor,\)"):
        GradCAM(Residual())(good, inputs=torch.ones(2))  # type: ignore[arg-type]


def test_a_model_that_goes_over_to_half_precision() -> None:
    class Half(Residual):
        def forward(self, x: Tensor) -> Tensor:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                return super().forward(x)

    with pytest.raises(UnsupportedModel, match=r"Half holds all.*type, torch.float32.*switch that"):
        GradCAM(Half())(good)


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
