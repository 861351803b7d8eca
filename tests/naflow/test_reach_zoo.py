"""Networks that people have, from three packages: HiResCAM is what hooks on their own run give, no
map is missing, and the default flow is finite."""

from __future__ import annotations

import pytest
import segmentation_models_pytorch as smp
import timm
import torch
import torchvision

from bench.zoo.row import against_hooks, seen_data
from naflow import NAFlow, UnsupportedModel, scores
from naflow.explainers import HiResCAM, SegHiResGradCAM
from naflow.explainers.segmentation import all_pixels

SIZE = 64
#: model: maps, and how many of them are modules that run once
TIMM = {
    "convnextv2_atto": (20, 20),
    "dla46_c": (27, 22),
    "edgenext_xx_small": (20, 20),
    "gcresnext26ts": (26, 15),
    "ghostnet_050": (22, 21),
    "hardcorenas_a": (59, 46),
    "lcnet_050": (83, 56),
    "mobilenetv4_conv_small": (48, 38),
    "mobileone_s0": (94, 43),
    "poolformer_s12": (28, 16),
    "regnety_002": (29, 15),
    "repvgg_a0": (44, 22),
    "resnest14d": (18, 14),
    "tf_mixnet_s": (63, 49),
    "test_nfnet": (21, 17),
    "tinynet_e": (69, 54),
}
TORCHVISION = {"mnasnet0_5": (69, 69), "shufflenet_v2_x0_5": (39, 23)}
SMP = {("Unet", "mobilenet_v2"): (180, 180), ("FPN", "resnet18"): (95, 87)}


def check(model: torch.nn.Module, expected: tuple[int, int], score=None) -> None:
    torch.manual_seed(0)
    images = torch.randn(2, 3, SIZE, SIZE)
    seen_data(model.eval(), images)
    method = HiResCAM if score is None else SegHiResGradCAM
    flow = method(model)(images, score)
    error, compared = against_hooks(model, images, score, flow)
    assert (len(flow), compared) == expected
    assert error < 1e-5
    assert all(found.any() for found in flow.maps.values())
    selective = NAFlow(model)(images, score)
    assert all(found.isfinite().all() for found in selective.maps.values())
    assert selective.maps[selective.layers[-1]].any()


@pytest.mark.parametrize("name", TIMM)
def test_timm(name: str) -> None:
    torch.manual_seed(0)
    check(timm.create_model(name), TIMM[name])


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision(name: str) -> None:
    torch.manual_seed(0)
    check(torchvision.models.get_model(name), TORCHVISION[name])


@pytest.mark.parametrize("name", SMP, ids="-".join)
def test_segmentation(name: tuple[str, str]) -> None:
    torch.manual_seed(0)
    decoder, encoder = name
    model = getattr(smp, decoder)(encoder, encoder_weights=None, classes=3)
    check(model, SMP[name], scores.PixelSet(1, all_pixels((SIZE, SIZE))))


def test_a_transformer_is_refused() -> None:
    model = timm.create_model("test_vit")
    with pytest.raises(UnsupportedModel, match=r"self-attention.*it is a transformer"):
        NAFlow(model)(torch.randn(1, 3, 160, 160))
