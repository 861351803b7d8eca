"""The Grad-CAM family against pytorch-grad-cam's raw maps, layer by layer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from naflow import scores
from naflow.explainers import GradCAM, GradCAMPlusPlus, HiResCAM, LayerCAM, XGradCAM

METHODS = {
    GradCAM: "GradCAM",
    GradCAMPlusPlus: "GradCAMPlusPlus",
    HiResCAM: "HiResCAM",
    LayerCAM: "LayerCAM",
    XGradCAM: "XGradCAM",
}
LAYERS = {
    "resnet18": ["layer1.0", "layer2.1", "layer3.0", "layer4.1"],
    "vgg11": ["features.0", "features.7", "features.10", "features.20"],
}


@pytest.fixture(scope="module", params=LAYERS)
def network(request: pytest.FixtureRequest) -> tuple[nn.Module, list[str]]:
    torch.manual_seed(1)
    model = getattr(torchvision.models, request.param)(num_classes=7).eval()
    for module in model.modules():
        if getattr(module, "inplace", False):  # theirs would see the overwritten activation
            module.inplace = False
    return model, LAYERS[request.param]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("method", METHODS)
def test_equals_pytorch_grad_cam(method: type, network: tuple[nn.Module, list[str]]) -> None:
    import pytorch_grad_cam
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    model, layers = network
    images = torch.randn(2, 3, 64, 64)
    flow = method(model)(images, scores.ClassLogit([2, 5]))
    theirs = getattr(pytorch_grad_cam, METHODS[method])
    modules = [model.get_submodule(layer) for layer in layers]
    with theirs(model=model, target_layers=modules) as cam:
        cam.activations_and_grads(images)
        cam.forward(images, [ClassifierOutputTarget(2), ClassifierOutputTarget(5)])
        kept = cam.activations_and_grads
        for layer, module, x, g in zip(
            layers, modules, kept.activations, kept.gradients, strict=True
        ):
            x, g = x.detach().numpy(), g.detach().numpy()
            raw = np.maximum(cam.get_cam_image(images, module, None, x, g, False), 0)
            found = flow[layer].numpy()
            assert np.abs(found - raw).max() <= 1e-5 * np.abs(raw).max(), layer


def test_every_layer_from_one_reverse_pass() -> None:
    """Each operation is differentiated once, and the first, which reads the images, not at all."""
    explainer, images = GradCAM(torchvision.models.resnet18()), torch.randn(1, 3, 64, 64)
    explainer(images)  # the model is cut
    with _Operations() as found:
        flow = explainer(images)
    assert len(flow) == 20
    assert found.convolutions == [20, 19]


class _Operations(TorchDispatchMode):
    """Counts the convolutions that run, forward and reverse."""

    def __enter__(self) -> _Operations:
        self.convolutions = [0, 0]
        return super().__enter__()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket
        self.convolutions[0] += name is torch.ops.aten.convolution
        self.convolutions[1] += name is torch.ops.aten.convolution_backward
        return func(*args, **(kwargs or {}))


def test_chosen_layers_and_kept_importance() -> None:
    flow = LayerCAM(torchvision.models.resnet18())(
        torch.randn(1, 3, 64, 64), layers=["layer2.0"], keep=("importance",)
    )
    assert flow.layers == ["layer2.0"]
    assert flow.importance["layer2.0"].shape == (1, 128, 8, 8)
    assert flow.method == "LayerCAM"
    assert flow.stats == {}
