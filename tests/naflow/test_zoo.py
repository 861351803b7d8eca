"""Every CNN of torchvision's classification zoo gives a finite flow; transformers are refused."""

from __future__ import annotations

import pytest
import torch
import torchvision

from naflow import NAFlow, UnsupportedModel

#: model: units up to the last feature map
CNNS = {
    "alexnet": 14,
    "vgg11": 22,
    "vgg11_bn": 30,
    "resnet18": 20,
    "resnet50": 36,
    "resnext50_32x4d": 36,
    "wide_resnet50_2": 36,
    "densenet121": 22,
    "googlenet": 22,
    "inception_v3": 25,
    "mobilenet_v2": 69,
    "mobilenet_v3_small": 53,
    "mobilenet_v3_large": 59,
    "efficientnet_b0": 75,
    "regnet_x_400mf": 47,
    "regnet_y_400mf": 35,
    "shufflenet_v2_x1_0": 39,
    "squeezenet1_1": 31,
    "mnasnet0_5": 69,
    "convnext_tiny": 26,
}


@pytest.mark.parametrize("name", CNNS)
def test_cnn(name: str) -> None:
    settings = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    model = getattr(torchvision.models, name)(**settings)
    images = torch.randn(1, 3, 96, 96)
    for preset in ("selective", "damped"):
        flow = NAFlow(model, preset)(images)
        assert len(flow) == CNNS[name]
        for layer, found in flow:
            assert found.ndim == 3
            assert found.isfinite().all(), (preset, layer)
            assert found.any(), (preset, layer)
    assert all(stats.residual.max() < 1.001 for stats in flow.stats.values())


@pytest.mark.parametrize("name", ["vit_b_16", "swin_t", "maxvit_t"])
def test_transformer(name: str) -> None:
    model = getattr(torchvision.models, name)()
    with pytest.raises(UnsupportedModel, match=r"'.*' is self-attention.* it is a transformer"):
        NAFlow(model)(torch.randn(1, 3, 224, 224))
