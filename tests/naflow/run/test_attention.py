"""Transformers are refused for what they are; CNNs with blocks of attention are explained."""

from __future__ import annotations

import pytest
import torch
from networks import Attentive
from own_run import compare, own_run
from torch import Tensor, nn
from torch.nn import functional as F

from naflow import NAFlow, UnsupportedModel
from naflow.explainers import GradCAM, HiResCAM
from naflow.scores import ClassLogit

ONE = ClassLogit(1)


# --- transformers --------------------------------------------------------------------------------


class Encoder(nn.Module):
    """Patches, and layers of PyTorch's own encoder."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 8, 4, stride=4)
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.fc = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.encoder(self.patch(x).flatten(2).mT).mean(1))


class WrittenOut(nn.Module):
    """Attention as matrix products, twice."""

    def __init__(self, product: str) -> None:
        super().__init__()
        self.patch, self.qkv = nn.Conv2d(3, 8, 4, stride=4), nn.Linear(8, 24)
        self.fc, self.product = nn.Linear(8, 3), product

    def attend(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, -1)
        if self.product == "fused":
            return F.scaled_dot_product_attention(q, k, v)
        if self.product == "einsum":
            weights = torch.einsum("bic,bjc->bij", q, k).softmax(-1)
            return torch.einsum("bij,bjc->bic", weights, v)
        weights = F.softmax(q @ k.transpose(-2, -1), dim=-1)
        return torch.bmm(weights, v) if self.product == "bmm" else weights @ v

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).mT
        x = x + self.attend(x)
        return self.fc((x + self.attend(x)).mean(1))


@pytest.mark.parametrize(
    "model",
    [Attentive(), Encoder(), *(WrittenOut(p) for p in ("fused", "einsum", "bmm", "matmul"))],
    ids=["MultiheadAttention", "TransformerEncoder", "fused", "einsum", "bmm", "matmul"],
)
@pytest.mark.parametrize("kind", [NAFlow, HiResCAM])
def test_a_transformer_is_refused_for_what_it_is(model: nn.Module, kind: type) -> None:
    with pytest.raises(
        UnsupportedModel,
        match=r"is self-attention.*2 such layers against 1 convolutions over space.*transformer",
    ):
        kind(model)(torch.randn(1, 3, 16, 16))
    with pytest.raises(UnsupportedModel, match="is self-attention"):
        NAFlow(model).plan(torch.randn(1, 3, 16, 16))


# --- CNNs with attention -------------------------------------------------------------------------


class NonLocal(nn.Module):
    """Every pixel looks at every pixel: Wang et al., CVPR 2018."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Conv2d(width, 4, 1) for _ in range(3))
        self.out = nn.Conv2d(4, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (conv(x).flatten(2) for conv in (self.q, self.k, self.v))
        weights = (q.mT @ k).softmax(-1)
        return x + self.out((weights @ v.mT).mT.unflatten(2, x.shape[2:]))


class GlobalContext(nn.Module):
    """One set of weights for all pixels: Cao et al., GCNet, 2019."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mask, self.change = nn.Conv2d(width, 1, 1), nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        weights = self.mask(x).flatten(2).softmax(-1)  # (B, 1, H W)
        context = (weights @ x.flatten(2).mT).mT[..., None]  # (B, C, 1, 1)
        return x + self.change(context)


class BlockAttention(nn.Module):
    """Gates of channels and of places: CBAM, Woo et al., ECCV 2018."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.channel = nn.Sequential(nn.Linear(width, 2), nn.ReLU(), nn.Linear(2, width))
        self.place = nn.Conv2d(2, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.channel(x.mean((2, 3))) + self.channel(x.amax((2, 3)))
        x = x * gate.sigmoid()[:, :, None, None]
        pooled = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        return x * self.place(pooled).sigmoid()


class Pixels(nn.Module):
    """Attention over the pixels of a map, by PyTorch's own layer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attend = nn.MultiheadAttention(width, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).mT
        return x + self.attend(tokens, tokens, tokens)[0].mT.unflatten(2, x.shape[2:])


class CNN(nn.Module):
    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.block, self.fc = block, nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.block(self.conv1(x).relu())
        return self.fc(self.conv2(x).relu().mean((2, 3)))


@pytest.mark.parametrize("block", [NonLocal, GlobalContext, BlockAttention, Pixels])
def test_a_cnn_with_attention_is_explained(block: type[nn.Module]) -> None:
    torch.manual_seed(1)
    model, images = CNN(block(8)).double().eval(), torch.randn(2, 3, 8, 8).double()
    calls = own_run(model, images, ONE)
    for method, kind in ((HiResCAM, "hirescam"), (GradCAM, "gradcam")):
        flow = method(model)(images, ONE)
        assert {"conv1", "block", "conv2"} <= set(compare(flow, calls, kind, to=1e-9))
    for preset in ("selective", "damped", "proximal"):
        assert all(m.isfinite().all() for _, m in NAFlow(model, preset)(images, ONE))


def test_below_a_pooling_by_attention_there_are_maps() -> None:
    """As CLIP's ResNet ends: every map below it, no token in it."""

    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.conv2 = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3)
            self.attend, self.fc = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 3)
            self.position = nn.Parameter(torch.randn(17, 8) / 3)

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv2(self.conv1(x).relu()).relu()
            tokens = x.flatten(2).mT
            tokens = torch.cat([tokens.mean(1, keepdim=True), tokens], 1) + self.position
            return self.fc(self.attend(tokens[:, :1], tokens, tokens)[0][:, 0])

    model, images = Pooled().double().eval(), torch.randn(2, 3, 8, 8).double()
    flow = HiResCAM(model)(images, ONE)
    assert flow.layers == ["conv1", "relu", "conv2", "relu#2"]
    assert compare(flow, own_run(model, images, ONE), to=1e-9) == ["conv1", "conv2"]
    assert NAFlow(model, "damped")(images, ONE).layers == flow.layers


def test_a_softmax_that_attends_to_nothing_counts_for_nothing() -> None:
    """A soft arg-max, and a softmax over channels before a convolution of one pixel."""

    class Soft(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.mix = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.mix(self.conv(x).softmax(1)).softmax(1)
            return self.mix(x).mean((2, 3)) + (x.flatten(2).softmax(-1) * x.flatten(2)).sum(2)

    assert HiResCAM(Soft())(torch.randn(1, 3, 8, 8)).layers[0] == "conv"
