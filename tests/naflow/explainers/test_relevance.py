"""CLRP, SGLRP and Relevance-CAM against the authors' recipes on zennit, and by hand."""

from __future__ import annotations

import pytest
import torch
from networks import Residual
from torch import Tensor, nn
from zennit_relevance import network, prepared, relevance

from naflow import BadInput, scores
from naflow.explainers import CLRP, LRP, SGLRP, RelevanceCAM
from naflow.explainers.rules import Rules

CLASSES = [2, 5]
LAYERS = {
    "resnet18": ["conv1", "maxpool", "layer1.1", "layer3.0", "layer4.1"],
    "vgg11": ["features.0", "features.7", "features.10", "features.18"],
}
# No box: zennit's first layer is as the others. Nothing absorbs.
RULES = Rules(first=None, epsilon=1e-12)


@pytest.fixture(scope="module", params=LAYERS)
def case(request: pytest.FixtureRequest) -> tuple[nn.Module, Tensor, list[str]]:
    torch.manual_seed(3)
    model = prepared(network(request.param))
    return model, torch.randn(2, 3, 64, 64, dtype=torch.float64), LAYERS[request.param]


def start(others: float | Tensor = 0.0) -> Tensor:
    found = torch.zeros(2, 7, dtype=torch.float64) + others
    found[[0, 1], CLASSES] = 1
    return found


def close(found: Tensor, expected: Tensor, layer: str) -> None:
    assert (found - expected).abs().max() <= 1e-6 * expected.abs().max(), layer


def unit_sum(r: Tensor) -> Tensor:
    return r / r.sum((1, 2, 3), keepdim=True)


@pytest.mark.parametrize("variant", [1, 2])
def test_clrp_is_the_difference_of_two_relevances_of_unit_sum(
    case: tuple[nn.Module, Tensor, list[str]], variant: int
) -> None:
    """One reverse pass here, two in the authors' recipe; variant 2 with the row negated."""
    model, images, layers = case
    flow = CLRP(model, variant=variant, rules=RULES)(images, scores.ClassLogit(CLASSES))
    target = relevance(model, images, layers, start())
    if variant == 1:
        dual = relevance(model, images, layers, (1 - start()) / 6)
    else:
        head = [m for m in model.modules() if isinstance(m, nn.Linear)][-1]
        kept = head.weight.data.clone()
        try:
            head.weight.data[CLASSES] *= -1
            dual = relevance(model, images, layers, start())
        finally:
            head.weight.data.copy_(kept)
    assert flow.method == f"CLRP{variant}"
    for layer in layers:
        expected = (unit_sum(target[layer]) - unit_sum(dual[layer])).clamp(min=0).sum(1)
        close(flow[layer], expected, layer)


def test_sglrp(case: tuple[nn.Module, Tensor, list[str]]) -> None:
    model, images, layers = case
    flow = SGLRP(model, rules=RULES)(images, scores.ClassLogit(CLASSES))
    p = flow.output.softmax(1)
    of_target = p[[0, 1], CLASSES][:, None]
    theirs = -of_target * p
    theirs[[0, 1], CLASSES] = (of_target * (1 - of_target))[:, 0]
    r = relevance(model, images, layers, theirs)
    scale = (of_target * (1 - of_target)).view(2, 1, 1)
    for layer in layers:
        close(scale * flow[layer], r[layer].sum(1).clamp(min=0), layer)


def test_relevance_cam(case: tuple[nn.Module, Tensor, list[str]]) -> None:
    model, images, layers = case
    flow = RelevanceCAM(model, rules=RULES)(images, scores.ClassLogit(CLASSES), layers=layers)
    assert len(flow) == len(layers)
    r = relevance(model, images, layers, start(others=-1 / 7))
    kept, hooks = {}, []
    for layer in layers:
        module = model.get_submodule(layer)
        hooks.append(module.register_forward_hook(lambda _, __, x, at=layer: kept.update({at: x})))
    with torch.no_grad():
        model(images)
    for hook in hooks:
        hook.remove()
    for layer in layers:
        expected = (r[layer].mean((2, 3), keepdim=True) * kept[layer]).sum(1).clamp(min=0)
        close(flow[layer], expected, layer)


def test_relevance_cam_of_a_linear_head_in_closed_form() -> None:
    """Under GAP and a linear head, alpha_k is p_k (W+_tk / sum_j W+_tj p_j - (1/N) sum_n ...)."""
    model = nn.Sequential(
        nn.Conv2d(3, 5, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 4)
    ).double()
    images = torch.rand(2, 3, 8, 8, dtype=torch.float64)
    flow = RelevanceCAM(model, rules=Rules(epsilon=1e-12))(images, scores.ClassLogit(1))
    with torch.no_grad():
        x = model[1](model[0](images))
        p, w = x.mean((2, 3)), model[4].weight.clamp(min=0)
        parts = p[:, None] * w / (w * p[:, None]).sum(2, keepdim=True)
        alpha = parts[:, 1] - (parts.sum(1) - parts[:, 1]) / 4
        expected = (alpha[:, :, None, None] * x).sum(1).clamp(min=0) / 36
    torch.testing.assert_close(flow["1"], expected)


# --- embeddings and segmentations ----------------------------------------------------------------


class Embedding(nn.Module):
    """The embedding is the mean of the channels of a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu = nn.Conv2d(3, 4, 3, bias=False), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.conv(x)).mean((2, 3))


U = torch.tensor([1.0, -2.0, 0.5, 3.0])
SCORES = {
    "cosine": scores.Similarity(U),
    "dot": scores.Similarity(U, "dot"),
    "euclidean": scores.Similarity(U, "euclidean"),
    "share": scores.ChannelContribution(U),
    "share in distance": scores.ChannelContribution(U, "euclidean"),
}


@pytest.mark.parametrize("name", SCORES)
def test_relevance_of_an_embedding_is_its_terms_share(name: str) -> None:
    model, images = Embedding(), torch.rand(2, 3, 8, 8)
    score = SCORES[name]
    flow = LRP(model)(images, score, keep=("importance",))
    v = flow.output
    if name in ("cosine", "dot"):
        terms = v * U
    elif name == "euclidean":
        terms = -(v - U).square()
    else:
        terms = score.weights(v) * v
    shares = terms / terms.abs().sum(1, keepdim=True)
    torch.testing.assert_close(flow.importance["relu"].sum((2, 3)), shares, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(flow.score, score(v))


@pytest.mark.parametrize("name", SCORES)
def test_an_embedding_has_no_predicted_class(name: str) -> None:
    """Its channels are none."""
    assert LRP(Embedding())(torch.rand(2, 3, 8, 8), SCORES[name]).prediction is None


@pytest.mark.parametrize("method", [CLRP, SGLRP, RelevanceCAM])
def test_other_references_take_the_part_of_other_classes(method: type) -> None:
    model, images = Embedding(), torch.rand(2, 3, 8, 8)
    score = scores.Similarity(U)
    others = torch.stack([U.flip(0), -U])
    flow = method(model, others=others)(images, score, keep=("importance",))
    v = flow.output
    terms = torch.stack([v * u / u.norm() / v.norm(dim=1, keepdim=True) for u in (U, *others)], 1)
    z = terms.sum(2)
    weights = {
        CLRP: torch.tensor([[0.5, 0.5]]),
        SGLRP: z[:, 1:].softmax(1),
        RelevanceCAM: torch.tensor([[1 / 3, 1 / 3]]),
    }[method].expand(2, 2)
    shares = terms / terms.abs().sum(2, keepdim=True)
    expected = shares[:, 0] - (weights[:, :, None] * shares[:, 1:]).sum(1)
    torch.testing.assert_close(flow.importance["relu"].sum((2, 3)), expected, atol=1e-5, rtol=1e-4)


def test_clrp2_of_an_embedding_needs_no_other() -> None:
    model, images = Embedding(), torch.rand(2, 3, 8, 8)
    flow = CLRP(model, variant=2)(images, scores.Similarity(U, "dot"), keep=("importance",))
    terms = flow.output * U
    for_it, against = terms.clamp(min=0), (-terms).clamp(min=0)
    expected = for_it / for_it.sum(1, keepdim=True) - against / against.sum(1, keepdim=True)
    torch.testing.assert_close(flow.importance["relu"].sum((2, 3)), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("method", [LRP, CLRP, SGLRP, RelevanceCAM])
def test_a_pixel_set(method: type) -> None:
    model = nn.Sequential(nn.Conv2d(3, 24, 3, padding=1), nn.ReLU(), nn.Conv2d(24, 3, 1))
    pixels = torch.zeros(8, 8, dtype=torch.bool)
    pixels[2:4, 5:7] = True
    images = torch.rand(2, 3, 8, 8)
    flow = method(model)(images, scores.PixelSet(1, pixels), keep=("importance",))
    used = flow.importance["1"].any(1)  # a 1x1 convolution sees its pixel alone
    assert torch.equal(used, pixels.expand(2, 8, 8))


def test_two_classes() -> None:
    """With two classes of opposite rows both variants of CLRP subtract the same dual."""
    model = Residual(classes=2)
    model.fc.weight.data[1] = -model.fc.weight.data[0]
    images = torch.rand(2, 3, 24, 24)
    one, two = (CLRP(model, variant=v)(images, scores.ClassLogit(0)) for v in (1, 2))
    for layer, found in one:
        torch.testing.assert_close(found, two[layer])
        assert found.isfinite().all()
    for method in (SGLRP, RelevanceCAM):
        assert all(m.isfinite().all() for _, m in method(model)(images, scores.ClassLogit(0)))


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [CLRP, SGLRP])
def test_no_other_class(method: type) -> None:
    with pytest.raises(BadInput, match="contrasts with other classes, and there is none"):
        method(Residual(classes=1))(torch.rand(1, 3, 24, 24))
    with pytest.raises(BadInput, match="give others="):
        method(Embedding())(torch.rand(1, 3, 8, 8), scores.Similarity(U))


def test_no_relevance() -> None:
    model = Residual(classes=2)
    model.fc.weight.data[0] = -1.0  # every term of class 0 is negative: z+ has nothing
    with pytest.raises(BadInput, match="nothing to draw"):
        LRP(model)(torch.rand(1, 3, 24, 24), scores.ClassLogit(0))
    embedding = Embedding()
    embedding.conv.weight.data.clamp_(min=0)
    none = scores.ChannelContribution(torch.ones(4))
    embedding.conv.weight.data[:] = -1.0
    with pytest.raises(BadInput, match="all zero"):
        LRP(embedding)(torch.rand(1, 3, 8, 8), none)


def test_settings_refused() -> None:
    with pytest.raises(BadInput, match="variants 1 and 2, not 3"):
        CLRP(Residual(), variant=3)
    with pytest.raises(BadInput, match="a classifier has its other classes"):
        CLRP(Residual(), others=torch.ones(1, 4))(torch.rand(1, 3, 24, 24))
    with pytest.raises(BadInput, match="needs Similarity or ChannelContribution"):
        LRP(Embedding(), others=torch.ones(1, 4))(torch.rand(1, 3, 8, 8), lambda v: v.sum(1))
    with pytest.raises(BadInput, match="'relevance' is not known"):
        LRP(Residual())(torch.rand(1, 3, 24, 24), keep=("relevance",))
    with pytest.raises(BadInput, match="one number an image"):
        LRP(Residual())(torch.rand(1, 3, 24, 24), lambda output: output)
    with pytest.raises(BadInput, match="no layer 'layer9'"):
        LRP(Residual())(torch.rand(1, 3, 24, 24), layers=["layer9"])
