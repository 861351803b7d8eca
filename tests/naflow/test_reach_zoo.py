"""Networks that people have, from three packages: HiResCAM is what hooks on their own run give, no
map is missing, and the default flow is finite."""

from __future__ import annotations

import pytest
import segmentation_models_pytorch as smp
import timm
import torch
import torchvision
from torch import Tensor, nn

from bench.zoo.row import against_hooks, seen_data
from naflow import NAFlow, UnsupportedModel, scores
from naflow.explainers import LRP, HiResCAM, SegHiResGradCAM
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


def check(model: nn.Module, expected: tuple[int, int], score=None) -> None:
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


class Combined(nn.Module):
    """combine(3 x, -x, sigmoid(0)), of the pixels x."""

    def __init__(self, combine) -> None:
        super().__init__()
        self.stem, self.a, self.b = (nn.Conv2d(1, 1, 1, bias=False) for _ in range(3))
        self.combine = combine
        for module, weight in ((self.stem, 1.0), (self.a, 3.0), (self.b, -1.0)):
            module.weight.data.fill_(weight)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.combine(self.a(x), self.b(x), torch.sigmoid(x - x)).flatten(1)


@pytest.mark.parametrize(
    ("fused", "spelt"),
    [
        (lambda a, b, g: torch.addcmul(a, b, g), lambda a, b, g: a + b * g),
        (lambda a, b, g: torch.addcmul(a, g, b, value=-2), lambda a, b, g: a - 2 * (g * b)),
        (lambda a, b, g: a.addcdiv(b, 1 + g), lambda a, b, g: a + b / (1 + g)),
        (lambda a, b, g: a.addcmul_(b, g), lambda a, b, g: a + b * g),
        (lambda a, b, g: torch.addcmul(torch.ones(1), a, b), lambda a, b, g: 1 + a * b),
        (lambda a, b, g: torch.addcmul(a, torch.ones(1), 2 * g), lambda a, b, g: a + 2 * g),
    ],
)
def test_relevance_of_a_fused_sum_is_that_of_its_parts(fused, spelt) -> None:
    """As in ConvNeXt V2's response norm."""
    images = torch.rand(2, 1, 4, 4) + 0.5
    found = LRP(Combined(fused))(images)
    expected = LRP(Combined(spelt))(images)
    assert found.maps["stem"].any()
    torch.testing.assert_close(found.maps["stem"], expected.maps["stem"])
    torch.testing.assert_close(found.conservation["stem"], expected.conservation["stem"])


def test_relevance_goes_through_a_response_norm() -> None:
    torch.manual_seed(0)
    flow = LRP(timm.create_model("convnextv2_atto"))(torch.randn(1, 3, SIZE, SIZE))
    assert all(abs(float(c) - 1) < 0.05 for c in flow.conservation.values())


class Attentive(nn.Module):
    """A convolution, a block of attention between pixels that runs on, and a classifier."""

    def __init__(self, attend) -> None:
        super().__init__()
        self.stem, self.up = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)
        self.attend = attend
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        pixels = x.flatten(2).mT.contiguous()  # as the fused attention wants it
        x = self.up(x + self.attend(pixels).mT.view_as(x))
        return self.head(x.mean((2, 3)))


def test_attention_in_a_block_is_inverted_as_if_spelt_out() -> None:
    def spelt(q: Tensor) -> Tensor:
        return (q @ q.mT / 2).softmax(-1) @ q

    def fused(q: Tensor) -> Tensor:
        return nn.functional.scaled_dot_product_attention(q[:, None], q[:, None], q[:, None])[:, 0]

    torch.manual_seed(0)
    model, images = Attentive(spelt), torch.randn(2, 3, 8, 8)
    expected = NAFlow(model, "damped")(images)
    model.attend = fused
    found = NAFlow(model, "damped")(images)
    for layer in ("stem", "up"):
        assert expected.maps[layer].any()
        torch.testing.assert_close(found.maps[layer], expected.maps[layer], atol=1e-5, rtol=1e-3)


def test_what_has_no_forward_derivative_is_refused_by_its_name() -> None:
    torch.manual_seed(0)
    model, images = Attentive(lambda q: torch.cdist(q, q) @ q), torch.randn(2, 3, 8, 8)
    assert NAFlow(model)(images).maps["stem"].any()
    with pytest.raises(UnsupportedModel, match=r"'cdist' in 'the model' has no forward-mode"):
        NAFlow(model, "damped")(images)


class Normalised(nn.Module):
    """Reads its features again after torch.nn.functional.normalize, as cosine classifiers do."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        unit = nn.functional.normalize(x, dim=1)
        return self.head((x + unit).mean((2, 3)))


@pytest.mark.parametrize("method", [LRP, HiResCAM, lambda model: NAFlow(model, "damped")])
def test_normalize_leaves_its_input_alone(method) -> None:
    torch.manual_seed(0)
    model, images = Normalised(), torch.randn(2, 3, 8, 8)
    flow = method(model)(images)
    torch.testing.assert_close(flow.output, model(images).detach())
    assert flow.maps["stem"].any()
