"""Seg-Grad-CAM and its kin against pytorch-grad-cam, in encoder and decoder."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision
from scipy import ndimage
from torch import Tensor, nn

from naflow import BadInput, scores
from naflow.explainers import SegGradCAM, SegHiResGradCAM, SegXResCAM
from naflow.explainers.segmentation import all_pixels, box, component, point


class Twice(nn.Sequential):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, padding=1), nn.ReLU(inplace=True),
        )  # fmt: skip


class UNet(nn.Module):
    """Two levels, skips, in-place activations, a pool that runs twice, an idle branch."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.pool, self.idle = nn.MaxPool2d(2), nn.Conv2d(8, 2, 1)
        self.enc1, self.enc2, self.deep = Twice(3, 4), Twice(4, 8), Twice(8, 8)
        self.up2, self.dec2 = nn.ConvTranspose2d(8, 8, 2, 2), Twice(16, 8)
        self.up1, self.dec1 = nn.ConvTranspose2d(8, 4, 2, 2), Twice(8, 4)
        self.head = nn.Conv2d(4, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        one = self.enc1(x)
        two = self.enc2(self.pool(one))
        deep = self.deep(self.pool(two))
        self.idle(deep)
        two = self.dec2(torch.cat([self.up2(deep), two], 1))
        return self.head(self.dec1(torch.cat([self.up1(two), one], 1)))


class Out(nn.Module):
    """The tensor among the outputs, as pytorch-grad-cam needs it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        output = self.model(x)
        return output["out"] if isinstance(output, dict) else output


NETWORKS = {
    "unet": (UNet, 16, ["enc1", "enc2.0", "deep", "up2", "dec2", "dec1", "head"]),
    "lraspp": (
        lambda: torchvision.models.segmentation.lraspp_mobilenet_v3_large(
            weights=None, weights_backbone=None, num_classes=3
        ),
        64,
        [
            "backbone.0.0",
            "backbone.6",
            "backbone.16",
            "classifier.cbr.2",
            "classifier.low_classifier",
        ],
    ),
    "fcn": (
        lambda: torchvision.models.segmentation.fcn_resnet50(
            weights=None, weights_backbone=None, num_classes=3, aux_loss=True
        ),
        32,
        ["backbone.layer1.0", "backbone.layer3.5", "backbone.layer4.2.conv2", "classifier.0"],
    ),
}


@pytest.fixture(scope="module", params=NETWORKS)
def case(request: pytest.FixtureRequest) -> tuple[nn.Module, Tensor, list[str]]:
    torch.manual_seed(4)
    build, size, layers = NETWORKS[request.param]
    return build().eval(), torch.randn(2, 3, size, size), layers


def masks(images: Tensor) -> Tensor:
    height, width = images.shape[2:]
    return torch.stack([box((height, width), 2, 3, 9, 11), point((height, width), 5, 6)])


def theirs(
    method: str, model: nn.Module, images: Tensor, layers: list[str], index: int, pixels: Tensor
) -> dict[str, np.ndarray]:
    """pytorch-grad-cam's raw maps (B, h, w); ours has the in-place ones among the modules run
    pure, and here they would overwrite."""
    import pytorch_grad_cam
    from pytorch_grad_cam.utils.model_targets import SemanticSegmentationTarget

    model = Out(model)
    inplace = [m for m in model.modules() if getattr(m, "inplace", False)]
    for module in inplace:
        module.inplace = False
    modules = [model.model.get_submodule(layer) for layer in layers]
    targets = [SemanticSegmentationTarget(index, mask.numpy()) for mask in pixels]
    with getattr(pytorch_grad_cam, method)(model=model, target_layers=modules) as cam:
        cam.forward(images, targets)
        kept = cam.activations_and_grads
        found = {}
        for layer, module, x, g in zip(
            layers, modules, kept.activations, kept.gradients, strict=True
        ):
            x, g = x.detach().numpy(), g.detach().numpy()
            found[layer] = np.maximum(cam.get_cam_image(images, module, targets, x, g, False), 0)
    for module in inplace:
        module.inplace = True
    return found


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("method", "name"), [(SegGradCAM, "GradCAM"), (SegHiResGradCAM, "HiResCAM")]
)
def test_equals_pytorch_grad_cam(
    case: tuple[nn.Module, Tensor, list[str]], method: type, name: str
) -> None:
    model, images, layers = case
    pixels = masks(images)
    flow = method(model)(images, scores.PixelSet(1, pixels))
    assert set(layers) <= set(flow.layers)
    oracle = theirs(name, model, images, layers, 1, pixels)
    drawn = [layer for layer, raw in oracle.items() if raw.any()]  # a ReLU may leave nothing
    assert len(drawn) >= len(layers) // 2
    for layer, raw in oracle.items():
        assert np.abs(flow[layer].numpy() - raw).max() <= 1e-5 * np.abs(raw).max(), layer


def test_layers_of_a_unet() -> None:
    """Every module that the output uses, shallow to deep, a value once under its block's name."""
    flow = SegGradCAM(UNet())(torch.randn(1, 3, 16, 16), scores.PixelSet(1, all_pixels((16, 16))))
    assert flow.layers == [
        "enc1.0", "enc1.1", "enc1.2", "enc1", "pool",
        "enc2.0", "enc2.1", "enc2.2", "enc2", "pool#2",
        "deep.0", "deep.1", "deep.2", "deep",
        "up2", "dec2.0", "dec2.1", "dec2.2", "dec2",
        "up1", "dec1.0", "dec1.1", "dec1.2", "dec1", "head",
    ]  # fmt: skip
    assert flow.prediction.shape == (1, 16, 16)


def test_the_in_place_model_is_not_changed() -> None:
    model, images = UNet().train(), torch.randn(1, 3, 16, 16)
    plain = model(images)
    flow = SegGradCAM(model)(images, scores.PixelSet(1, all_pixels((16, 16))))
    assert torch.equal(flow.output, plain.detach())
    assert model.training
    assert all(not m._forward_hooks for m in model.modules())
    assert all(p.grad is None for p in model.parameters())


# --- Seg-XRes-CAM --------------------------------------------------------------------------------


def test_xres_lies_between() -> None:
    model, images = UNet(), torch.randn(2, 3, 16, 16)
    score = scores.PixelSet(1, masks(images))
    hires, grad = SegHiResGradCAM(model)(images, score), SegGradCAM(model)(images, score)
    for pool in ("max", "mean"):
        same = SegXResCAM(model, window=1, pool=pool)(images, score)
        for layer, found in same:
            torch.testing.assert_close(found, hires[layer])
    whole = SegXResCAM(model, window=99, pool="mean")(images, score)
    for layer, found in whole:
        torch.testing.assert_close(found, grad[layer])


@pytest.mark.parametrize(
    ("pool", "expected"), [("max", [2, 2, 4, 4, 5]), ("mean", [1.5, 1.5, 3.5, 3.5, 5])]
)
def test_xres_window_by_hand(pool: str, expected: list[float]) -> None:
    """The border's window holds one pixel: 5, not half of it."""
    g = torch.tensor([1.0, 2, 3, 4, 5]).expand(1, 1, 5, 5)
    found = SegXResCAM(UNet(), window=2, pool=pool).evidence(torch.ones(1, 1, 5, 5), g)
    assert found[0, 0].tolist() == expected


# --- the sets of pixels --------------------------------------------------------------------------


def test_pixel_sets_add_up() -> None:
    model, images = UNet(), torch.randn(1, 3, 16, 16)
    left, right = box((16, 16), 0, 0, 16, 8), box((16, 16), 0, 8, 16, 16)
    gradient = {}
    for name, pixels in {"left": left, "right": right, "all": all_pixels((16, 16))}.items():
        flow = SegHiResGradCAM(model)(images, scores.PixelSet(1, pixels), keep=("importance",))
        gradient[name] = flow.importance["deep"]
    torch.testing.assert_close(gradient["left"] + gradient["right"], gradient["all"])


def test_hires_stays_inside_where_seg_grad_cam_does_not() -> None:
    """The argument for Seg-HiRes-Grad-CAM: a 1x1 head sees its own pixels alone."""
    model = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 3, 1))
    pixels = box((8, 8), 2, 2, 4, 4)
    images = torch.rand(1, 3, 8, 8)
    hires = SegHiResGradCAM(model)(images, scores.PixelSet(1, pixels))
    grad = SegGradCAM(model)(images, scores.PixelSet(1, pixels))
    assert not hires["1"][:, ~pixels].any()
    assert grad["1"][:, ~pixels].any()


@pytest.mark.parametrize("which", ["largest", "smallest"])
def test_components(which: str) -> None:
    generator = torch.Generator().manual_seed(1)
    pixels = torch.rand(6, 13, 11, generator=generator) < 0.45
    found = component(pixels, which)
    for mask, mine in zip(pixels.numpy(), found.numpy(), strict=True):
        labels, count = ndimage.label(mask)
        sizes = ndimage.sum_labels(mask, labels, range(1, count + 1))
        assert (mine & ~mask).sum() == 0
        assert mine.sum() == (sizes.max() if which == "largest" else sizes.min())
        assert ndimage.label(mine)[1] == 1
    assert torch.equal(component(pixels[0], which), found[0])
    assert not component(torch.zeros(3, 3), which).any()


# --- refusals ------------------------------------------------------------------------------------


def test_an_absent_class_and_an_empty_set() -> None:
    model, images = UNet(), torch.randn(2, 3, 16, 16)
    model.head.bias.data[2] = -1e3
    for method in (SegGradCAM, SegHiResGradCAM, SegXResCAM):
        with pytest.raises(BadInput, match=r"pixel set of class 2 is empty in images \[0, 1\]"):
            method(model)(images, scores.PixelSet(2))
        pixels = torch.stack([all_pixels((16, 16)), torch.zeros(16, 16).bool()])
        with pytest.raises(BadInput, match=r"is empty in images \[1\]"):
            method(model)(images, scores.PixelSet(0, pixels))


def test_refusals() -> None:
    model, images = UNet(), torch.randn(1, 3, 16, 16)
    everywhere = scores.PixelSet(1, all_pixels((16, 16)))
    with pytest.raises(BadInput, match=r"give scores.PixelSet\(c\)"):
        SegGradCAM(model)(images)
    with pytest.raises(BadInput, match="There is no layer 'idle'"):
        SegGradCAM(model)(images, everywhere, layers=["idle"])
    with pytest.raises(BadInput, match="16 x 16 pixels"):
        box((16, 16), 4, 4, 4, 9)
    with pytest.raises(BadInput, match="leaves"):
        point((16, 16), 16, 0)
    with pytest.raises(BadInput, match="window=0"):
        SegXResCAM(model, window=0)
    with pytest.raises(BadInput, match="'max' or 'mean'"):
        SegXResCAM(model, pool="sum")
    with pytest.raises(BadInput, match="component takes masks"):
        component(torch.zeros(2, 2), "middle")
