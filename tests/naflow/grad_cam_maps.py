"""The maps of pytorch-grad-cam, run its own way: the oracle of the adapted methods."""

from __future__ import annotations

import numpy as np
import torch
from networks import Residual, randomised
from torch import Tensor, nn

MODULES = ["relu", "maxpool", "layer1.0", "layer1.1"]  # layers that are modules, nowhere negative
TARGETS = [2, 0]


def network() -> nn.Module:
    torch.manual_seed(3)
    model = randomised(Residual()).eval()
    for module in model.modules():
        if getattr(module, "inplace", False):  # their hooks would see the overwritten activation
            module.inplace = False
    return model


def pictures(count: int = 2, channels: int = 3, side: int = 24) -> Tensor:
    return torch.randn(count, channels, side, side, generator=torch.Generator().manual_seed(6))


def close(found: Tensor, expected: Tensor | np.ndarray, to: float = 1e-5) -> None:
    expected = torch.as_tensor(expected).to(found)
    assert float(expected.abs().max()) > 0
    torch.testing.assert_close(found, expected, rtol=0, atol=to * float(expected.abs().max()))


def theirs(kind: str, model: nn.Module, layer: str, images: Tensor) -> np.ndarray:
    """The map before it is scaled, from their hooks on the layer and their forward pass."""
    import pytorch_grad_cam
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    targets, module = [ClassifierOutputTarget(c) for c in TARGETS], model.get_submodule(layer)
    found = []
    with getattr(pytorch_grad_cam, kind)(model=model, target_layers=[module]) as cam:
        compute = cam.get_cam_image
        cam.get_cam_image = lambda *a: found.append(compute(*a)) or found[-1]
        cam(input_tensor=images, targets=targets)
    return np.maximum(found[0], 0)
