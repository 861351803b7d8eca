"""CF-CAM against a plain-loop reading of its formulas, one image, channel and pixel at a time."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torchvision
from networks import Residual, Undecided, randomised
from torch import Tensor, nn
from untouched import explode, same, state_of

from naflow import BadInput, NotFinite, scores
from naflow.explainers import CFCAM, CLRP
from naflow.explainers.rules import Rules
from naflow.perturb.masked import blurred, image_masks

LAYERS = ["0", "1", "2", "3"]
RULES = Rules(epsilon=1e-12)


def classifier(classes: int = 3, seed: int = 4) -> nn.Sequential:
    """(B, 2, 8, 8) -> maps of 4 x 4 -> logits."""
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(2, 3, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(3, 4, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, classes),
    ).double()
    for layer, deviation in ((model[0], 1.0), (model[2], 0.5), (model[6], 0.5)):
        nn.init.normal_(layer.weight, std=deviation)  # neither certain nor indifferent
    return model


def pictures(count: int = 2, seed: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 2, 8, 8, dtype=torch.float64, generator=generator)


# --- the oracle ----------------------------------------------------------------------------------


def activations(model: nn.Sequential, image: Tensor) -> dict[str, Tensor]:
    """Layer -> (C, h, w), and "output", of one image."""
    found, x = {}, image[None]
    with torch.no_grad():
        for name, module in model.named_children():
            x = found[name] = module(x)
    return {name: v[0] for name, v in found.items()} | {"output": x[0]}


def z_plus_of_linear(x: Tensor, w: Tensor, r: list[float]) -> list[float]:
    """x >= 0, so only positive weights take part."""
    found = [0.0] * len(x)
    for n in range(len(r)):
        terms = [float(x[k]) * max(0.0, float(w[n, k])) for k in range(len(x))]
        for k, term in enumerate(terms):
            found[k] += term / sum(terms) * r[n] if sum(terms) else 0.0
    return found


def z_plus_of_conv(x: Tensor, w: Tensor, r: Tensor) -> Tensor:
    """A 3 x 3 convolution of padding 1 over x >= 0."""
    found = torch.zeros_like(x)
    channels, height, width = x.shape
    for n in range(len(w)):
        for i in range(height):
            for j in range(width):
                terms = {}
                for k in range(channels):
                    for a in range(3):
                        for b in range(3):
                            y, z = i + a - 1, j + b - 1
                            if 0 <= y < height and 0 <= z < width:
                                terms[k, y, z] = float(x[k, y, z]) * max(0.0, float(w[n, k, a, b]))
                total = sum(terms.values())
                for place, term in terms.items():
                    found[place] += term / total * float(r[n, i, j]) if total else 0.0
    return found


def relevance(model: nn.Sequential, image: Tensor, start: list[float]) -> dict[str, Tensor]:
    at = activations(model, image)
    x = at["3"]
    pooled = z_plus_of_linear(x.mean((1, 2)), model[6].weight.detach(), start)
    deep = torch.zeros_like(x)
    for k in range(len(x)):
        if float(x[k].sum()):
            deep[k] = x[k] / x[k].sum() * pooled[k]
    shallow = z_plus_of_conv(at["1"], model[2].weight.detach(), deep)
    return {"3": deep, "2": deep, "1": shallow, "0": shallow}


def contrastive(model: nn.Sequential, image: Tensor, target: int) -> dict[str, Tensor]:
    """CLRP1: the difference of two relevances of unit sum."""
    classes = len(model[6].weight)
    of_it = relevance(model, image, [float(n == target) for n in range(classes)])
    dual = relevance(model, image, [float(n != target) for n in range(classes)])
    return {name: r / r.sum() - dual[name] / dual[name].sum() for name, r in of_it.items()}


def resized(e: Tensor, height: int, width: int) -> Tensor:
    """Bilinear, pixel centres at the half integers, clamped at the border."""
    found = torch.zeros(height, width, dtype=e.dtype)
    for i in range(height):
        for j in range(width):
            y = max(0.0, (i + 0.5) * e.shape[0] / height - 0.5)
            x = max(0.0, (j + 0.5) * e.shape[1] / width - 0.5)
            top, left = int(y), int(x)
            down, right = min(top + 1, e.shape[0] - 1), min(left + 1, e.shape[1] - 1)
            v, u = y - top, x - left
            upper = (1 - u) * float(e[top, left]) + u * float(e[top, right])
            lower = (1 - u) * float(e[down, left]) + u * float(e[down, right])
            found[i, j] = (1 - v) * upper + v * lower
    return found


def gaussian(image: Tensor, side: float, deviation: float) -> Tensor:
    """The two-dimensional sum, mirrored at the border without repeating it."""
    found = torch.zeros_like(image)
    _, height, width = image.shape
    half = max(1, round((side - 1) / 2))
    for i in range(height):
        for j in range(width):
            total = 0.0
            for a in range(-half, half + 1):
                for b in range(-half, half + 1):
                    y, x = abs(i + a), abs(j + b)
                    y, x = min(y, 2 * height - 2 - y), min(x, 2 * width - 2 - x)
                    weight = math.exp(-(a * a + b * b) / (2 * deviation**2))
                    total += weight
                    found[:, i, j] += weight * image[:, y, x]
            found[:, i, j] /= total
    return found


def fine(
    image: Tensor,
    a: Tensor,
    r: Tensor,
    answer: Callable[[Tensor], float],
    *,
    source: str = "R",
    scale: str = "minmax",
    baseline: str = "blur",
    blur: tuple[float, float] = (51 / 224, 50 / 224),
    weight: str = "gain",
    combine: str = "E",
    fallback: str = "relevance",
    tried: list[int] | None = None,
) -> tuple[Tensor, list[float]]:
    """The map and the weights of one layer of one image (C, H, W); answer: of an image."""
    side = min(image.shape[1:])
    under = gaussian(image, blur[0] * side, blur[1] * side)
    under = torch.zeros_like(image) if baseline == "zero" else under
    e = r.clamp(min=0) * a if source == "RA" else r.clamp(min=0)
    gains = {}
    for k in range(len(e)) if tried is None else tried:
        if not e[k].any() or (scale == "minmax" and e[k].min() == e[k].max()):
            continue
        mask = resized(e[k], *image.shape[1:])
        if scale == "max":
            mask = mask.clamp(min=0)
            mask = mask / mask.max() if mask.max() > 0 else mask
        else:
            mask = (mask - mask.min()) / (mask.max() - mask.min())
        shown = mask * image + (1 - mask) * under
        gains[k] = answer(shown) - (0.0 if weight == "raw" else answer(under))
    if weight == "softmax":
        total = sum(math.exp(g) for g in gains.values())
        weights = [math.exp(gains[k]) / total if k in gains else 0.0 for k in range(len(e))]
    else:
        weights = [max(0.0, gains.get(k, 0.0)) for k in range(len(e))]
    if not any(weights):
        instead = {"relevance": e.abs().sum((1, 2)).tolist(), "uniform": [1.0] * len(e)}
        weights = instead.get(fallback, [0.0] * len(e))
    found = torch.zeros_like(e[0])
    for k, of_channel in enumerate(weights):
        found += of_channel * {"E": e[k], "EA": e[k] * a[k], "A": a[k]}[combine]
    return found.clamp(min=0), weights


def probability(model: nn.Module, target: int) -> Callable[[Tensor], float]:
    def answer(image: Tensor) -> float:
        with torch.no_grad():
            z = [float(v) for v in model(image[None])[0]]
        return math.exp(z[target]) / sum(math.exp(v) for v in z)

    return answer


def logit(model: nn.Module, target: int) -> Callable[[Tensor], float]:
    def answer(image: Tensor) -> float:
        with torch.no_grad():
            return float(model(image[None])[0, target])

    return answer


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=1e-6 * float(expected.abs().max()), rtol=0)


# --- the formulas --------------------------------------------------------------------------------

TARGET = scores.ClassLogit([0, 2])
OPTIONS = [
    {"source": "RA"},
    {"baseline": "zero"},
    {"blur": (0.65, 0.1)},
    {"weight": "raw"},
    {"weight": "softmax"},
    {"combine": "EA"},
    {"combine": "A"},
]


@pytest.fixture(scope="module")
def coarse() -> tuple[nn.Sequential, Tensor, list[dict[str, Tensor]]]:
    model, images = classifier(), pictures()
    found = [contrastive(model, image, t) for image, t in zip(images, (0, 2), strict=True)]
    return model, images, found


@pytest.mark.parametrize("options", [{}, *OPTIONS], ids=str)
def test_every_layer_is_the_formula(
    coarse: tuple[nn.Sequential, Tensor, list[dict[str, Tensor]]], options: dict
) -> None:
    """Two images, each explained for a class of its own, at all four layers."""
    model, images, r = coarse
    flow = CFCAM(model, rules=RULES, **options)(images, TARGET, keep=("importance",))
    assert flow.layers == LAYERS and flow.method == "CF-CAM"
    gained = 0
    for layer in LAYERS:
        for b, target in enumerate((0, 2)):
            a = activations(model, images[b])[layer]
            close(flow.importance[layer][b], r[b][layer])
            answer = probability(model, target)
            expected, weights = fine(images[b], a, r[b][layer], answer, **options)
            close(flow[layer][b], expected)
            close(flow.channels[layer].weights[b], torch.tensor(weights, dtype=torch.float64))
            gained += int(bool(expected.any()) and not flow.channels[layer].fallback[b])
    assert gained >= 4


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_an_option_changes_what_is_drawn(
    coarse: tuple[nn.Sequential, Tensor, list[dict[str, Tensor]]], options: dict
) -> None:
    """By more than a factor; for scale see the maps without a zero."""
    model, images, _ = coarse
    one = CFCAM(model, rules=RULES, **options)(images, TARGET).stack((8, 8))
    other = CFCAM(model, rules=RULES)(images, TARGET).stack((8, 8))
    one, other = (m / m.sum((2, 3), keepdim=True).clamp(min=1e-9) for m in (one, other))
    assert float((one - other).abs().max()) > 1e-4


def test_answers_in_logits(coarse: tuple[nn.Sequential, Tensor, list[dict[str, Tensor]]]) -> None:
    model, images, r = coarse
    flow = CFCAM(model, rules=RULES, answer="score")(images, TARGET)
    for layer in LAYERS:
        for b, target in enumerate((0, 2)):
            a = activations(model, images[b])[layer]
            expected, _ = fine(images[b], a, r[b][layer], logit(model, target))
            close(flow[layer][b], expected)


@pytest.mark.parametrize("fallback", ["relevance", "uniform", "zero"])
def test_where_no_channel_gains(
    coarse: tuple[nn.Sequential, Tensor, list[dict[str, Tensor]]], fallback: str
) -> None:
    """Logits far below zero, taken raw: no weight is left, and the flow says so."""
    model, images, r = coarse
    kept = model[6].bias.data.clone()
    try:
        model[6].bias.data -= 100
        settings = {"weight": "raw", "fallback": fallback}
        explainer = CFCAM(model, rules=RULES, answer="score", **settings)
        flow = explainer(images, TARGET)
        for layer in LAYERS:
            assert flow.channels[layer].fallback.all()
            for b, target in enumerate((0, 2)):
                a, answer = activations(model, images[b])[layer], logit(model, target)
                expected, _ = fine(images[b], a, r[b][layer], answer, **settings)
                close(flow[layer][b], expected)
                assert bool(expected.any()) == (fallback != "zero")
    finally:
        model[6].bias.data.copy_(kept)
    assert "in 2 of 2 images" in flow.table()


@pytest.mark.parametrize(("share", "most"), [(0.6, None), (1.0, 2), (0.95, 1)])
def test_a_subset_of_the_channels(
    coarse: tuple[nn.Sequential, Tensor, list[dict[str, Tensor]]], share: float, most: int | None
) -> None:
    """The fewest channels that hold the share, and what was left out is told."""
    model, images, r = coarse
    explainer = CFCAM(model, rules=RULES, share=share, most=most)
    flow = explainer(images, TARGET)
    left_out = 0
    for layer in LAYERS:
        for b, target in enumerate((0, 2)):
            sizes = r[b][layer].clamp(min=0).sum((1, 2)).tolist()
            tried, held = [], 0.0
            for k in sorted(range(len(sizes)), key=lambda k: -sizes[k]):
                if sizes[k] > 0 and held < share * sum(sizes) and len(tried) < (most or 99):
                    tried.append(k)
                    held += sizes[k]
            left_out += sum(size > 0 for size in sizes) - len(tried)
            said = flow.channels[layer]
            assert said.tried[b].nonzero()[:, 0].tolist() == sorted(tried)
            assert float(said.mass[b]) == pytest.approx(held / sum(sizes), rel=1e-9)
            a, answer = activations(model, images[b])[layer], probability(model, target)
            expected, weights = fine(images[b], a, r[b][layer], answer, tried=tried)
            close(flow[layer][b], expected)
            close(said.weights[b], torch.tensor(weights, dtype=torch.float64))
    assert left_out > 0
    assert f"{float(flow.channels['3'].mass.min()):.1%}" in flow.table()


def test_under_masks_of_ones_the_answer_is_the_score() -> None:
    """A layer of one pixel, each mask over its largest value, shows the whole image."""
    model, images = classifier(), pictures(3)
    with torch.no_grad():
        model[6].bias += 10  # every logit above zero, for the raw answer
    settings = {"last": "4", "scale": "max", "weight": "raw"}
    target = scores.ClassLogit([0, 2, 1])
    flow = CFCAM(model, answer="score", **settings)(images, target, layers=["4"])
    tried = flow.channels["4"].tried
    assert tried.any(1).all()
    score = flow.score[:, None].expand_as(tried)
    torch.testing.assert_close(flow.channels["4"].weights[tried], score[tried])
    flow = CFCAM(model, **settings)(images, target, layers=["4"])
    p = flow.output.softmax(1)[[0, 1, 2], [0, 2, 1]][:, None].expand_as(tried)
    torch.testing.assert_close(flow.channels["4"].weights[tried], p[tried])


# --- what is explained ---------------------------------------------------------------------------


class Embedding(nn.Module):
    """(B, 2, 8, 8) -> the mean of four channels, or the channels themselves."""

    def __init__(self, spatial: bool = False) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.conv, self.relu = nn.Conv2d(2, 4, 3, 2, 1).double(), nn.ReLU()
        self.spatial = spatial

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.conv(x))
        return x if self.spatial else x.mean((2, 3))


U = torch.tensor([[1.0, 2.0, 0.5, 3.0], [0.3, 0.1, 2.0, 1.0]], dtype=torch.float64)


def check_layer(
    model: nn.Module, flow, images: Tensor, answer: Callable, layer: str = "relu", **options: str
) -> None:
    """The fine step by the oracle, from the flow's own relevance; answer(b, output of one)."""
    with torch.no_grad():
        x = model.relu(model.conv(images))
    for b, image in enumerate(images):

        def asked(shown: Tensor, b: int = b) -> float:
            with torch.no_grad():
                return float(answer(b, model(shown[None])))

        expected, weights = fine(image, x[b], flow.importance[layer][b], asked, **options)
        assert expected.any()
        close(flow[layer][b], expected)
        close(flow.channels[layer].weights[b], torch.tensor(weights, dtype=torch.float64))
    assert not flow.channels[layer].fallback.all()


@pytest.mark.parametrize("kind", ["cosine", "dot", "euclidean"])
def test_a_similarity(kind: str) -> None:
    """One reference an image, the other image's as the contrast."""
    model, images = Embedding(), pictures(seed=4)
    explainer = CFCAM(model, others=U.flip(0)[None])
    flow = explainer(images, scores.Similarity(U, kind), keep=("importance",))

    def answer(b: int, v: Tensor) -> Tensor:
        return scores.Similarity(U[b], kind)(v)

    check_layer(model, flow, images, answer)


@pytest.mark.parametrize("spatial", [False, True])
def test_channel_contribution_keeps_the_shares_of_the_whole_image(spatial: bool) -> None:
    model, images = Embedding(spatial), pictures(seed=4)
    u = U[:, :, None, None].expand(2, 4, 4, 4) if spatial else U
    score = scores.ChannelContribution(u, spatial_sum=spatial)
    flow = CFCAM(model, variant=2)(images, score, keep=("importance",))
    weights = score.weights(flow.output)

    def answer(b: int, v: Tensor) -> float:
        v = v[0].sum((1, 2)) if spatial else v[0]
        return sum(float(weights[b, k]) * float(v[k]) for k in range(4))

    check_layer(model, flow, images, answer)


class Segmenter(Embedding):
    """The four maps as logits of classes under "out"; a loss without a batch axis beside them."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.relu(self.conv(x))
        return {"out": x * 3, "loss": x.new_zeros(())}


def test_a_pixel_set_keeps_the_pixels_predicted_in_the_whole_image() -> None:
    model, images = Segmenter(), pictures(seed=4)
    with torch.no_grad():
        predicted = model(images)["out"].argmax(1)
    index = int(predicted.flatten().mode().values)
    flow = CFCAM(model)(images, scores.PixelSet(index), keep=("importance",))

    def answer(b: int, output: dict[str, Tensor]) -> float:
        p = output["out"][0].softmax(0)
        return sum(float(p[index, i, j]) for i, j in (predicted[b] == index).nonzero().tolist())

    check_layer(model, flow, images, answer)


def test_any_callable() -> None:
    """It sees the images in their order, however many masks share a forward pass."""
    model, images = Embedding(), pictures(seed=4)

    def score(v: Tensor) -> Tensor:
        assert v.shape == (2, 4)
        return (v * U).sum(1)

    flow = CFCAM(model, variant=2, batch=6)(images, score, keep=("importance",))
    check_layer(model, flow, images, lambda b, v: (v[0] * U[b]).sum())


def test_scale_of_maps_without_a_zero() -> None:
    model, images = Embedding(), pictures(seed=4)
    with torch.no_grad():
        model.conv.bias += 3
    found = []
    for scale in ("minmax", "max"):
        explainer = CFCAM(model, variant=2, scale=scale)
        flow = explainer(images, scores.Similarity(U, "dot"), keep=("importance",))
        answer = lambda b, v: (v[0] * U[b]).sum()  # noqa: E731
        check_layer(model, flow, images, answer, scale=scale)
        found.append(flow.channels["relu"].weights)
    assert (flow.importance["relu"] > 0).any(1).all()
    assert float((found[0] - found[1]).abs().max()) > 0.01 * float(found[0].max())


def test_the_predicted_class_stays_that_of_the_whole_image() -> None:
    model, images = classifier(), pictures(6)
    flow = CFCAM(model)(images)
    named = CFCAM(model)(images, scores.ClassLogit(flow.prediction))
    with torch.no_grad():
        assert (model(blurred(images)).argmax(1) != flow.prediction).any()
    for layer in LAYERS:
        assert torch.equal(flow[layer], named[layer])


# --- the call ------------------------------------------------------------------------------------


def test_a_batch_is_its_images() -> None:
    """Five images of different classes at once, in forward passes of any size, and one by one."""
    model, images = classifier(), pictures(5)
    classes = [0, 1, 2, 1, 0]
    together = CFCAM(model, batch=64, share=0.8)(images, scores.ClassLogit(classes))
    again = CFCAM(model, batch=64, share=0.8)(images, scores.ClassLogit(classes))
    small = CFCAM(model, batch=1, share=0.8)(images, scores.ClassLogit(classes))
    for b, target in enumerate(classes):
        alone = CFCAM(model, share=0.8)(images[b : b + 1], scores.ClassLogit(target))
        for layer in LAYERS:
            close(together[layer][b], alone[layer][0])
            close(small[layer][b], alone[layer][0])
            assert torch.equal(together.channels[layer].tried[b], alone.channels[layer].tried[0])
    assert all(torch.equal(together[layer], again[layer]) for layer in LAYERS)


def test_cost_and_progress() -> None:
    """One forward pass a channel and image, in the sizes asked for, beside those of the start."""
    model, images, sizes, seen = classifier(), pictures(2), [], []
    progress = lambda *step: seen.append(step)  # noqa: E731
    explainer = CFCAM(model, batch=5, scale="max", progress=progress)
    explainer(images)  # cuts the model into units, once
    seen.clear()
    hook = model[0].register_forward_hook(lambda m, a, y: sizes.append(len(y)))
    flow = explainer(images, layers=["3"])
    hook.remove()
    tried = int(flow.channels["3"].tried.sum(1).max())
    assert tried == 3  # of 4; both images have one that no relevance reaches
    assert seen == [("3", 2, 3), ("3", 3, 3)]
    assert sizes[-3:] == [2, 4, 2]
    assert sum(sizes) <= 2 * (3 + tried)


def test_layers_detail_and_what_is_kept() -> None:
    model, images = Residual(), torch.rand(2, 3, 24, 24)
    flow = CFCAM(model)(images, layers=["layer1.0.relu"], detail=True)
    assert flow.layers == ["layer1.0.relu"] and flow.importance == {}
    assert flow["layer1.0.relu"].shape == (2, 6, 6)
    clrp = CLRP(model)(images, layers=["layer1.1"], keep=("importance",))
    ours = CFCAM(model)(images, layers=["layer1.1"], keep=("importance",))
    assert torch.equal(ours.importance["layer1.1"], clrp.importance["layer1.1"])
    assert torch.equal(ours.conservation["layer1.1"], clrp.conservation["layer1.1"])
    assert torch.equal(ours.score, clrp.score)


def test_a_model_that_looks_at_its_values() -> None:
    flow = CFCAM(Undecided())(torch.rand(2, 3, 16, 16))
    assert flow.layers == ["stem.0", "stem.1", "body.0", "body.1"]
    assert all(m.any() for _, m in flow)


@pytest.mark.parametrize("score", [None, explode])
def test_the_model_is_left_as_it_was(score: object) -> None:
    model = Residual().train()
    model.layer1[0].eval()
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    before, x = state_of(model), torch.randn(2, 3, 16, 16)
    images = x.clone()
    if score is None:
        CFCAM(model)(x)
    else:
        with pytest.raises(RuntimeError, match="boom"):
            CFCAM(model)(x, score)
    assert same(before, state_of(model))
    assert torch.equal(x, images)


def test_resnet18() -> None:
    torch.manual_seed(0)
    model = torchvision.models.resnet18(num_classes=5)
    images = torch.randn(2, 3, 64, 64)
    explainer = CFCAM(model, most=12)
    flow = explainer(images, scores.ClassLogit([1, 4]), layers=["layer2.0", "layer4.1"])
    assert {name: tuple(m.shape) for name, m in flow} == {
        "layer2.0": (2, 8, 8),
        "layer4.1": (2, 2, 2),
    }
    for layer, found in flow:
        said = flow.channels[layer]
        assert found.isfinite().all() and (found >= 0).all() and found.flatten(1).any(1).all()
        assert said.tried.sum(1).tolist() == [12, 12] and (said.mass < 1).all()


# --- nothing to see ------------------------------------------------------------------------------


def test_two_classes() -> None:
    """The contrast is the other class; where its row is the same, there is no contrast."""
    model, images = classifier(classes=2), pictures()
    flow = CFCAM(model)(images, scores.ClassLogit([0, 1]))
    assert all(m.isfinite().all() and m.any() for _, m in flow)
    with torch.no_grad():
        model[6].weight[1] = model[6].weight[0]
    with pytest.raises(BadInput, match="nothing to draw"):
        CFCAM(model)(images, scores.ClassLogit([0, 1]))


def test_rounding_is_no_gain() -> None:
    """A picture of one colour is its own blur but for rounding: no mask shows anything."""
    torch.manual_seed(1)
    model = randomised(Residual(width=16))
    images = torch.rand(12, 3, 1, 1).expand(12, 3, 24, 24).contiguous()
    classes = torch.arange(12) % 4
    score = scores.ClassLogit(classes)
    with torch.no_grad():
        whole, under = (score(model.eval()(x)) for x in (images, blurred(images)))
    assert (whole > under).any()
    flow = CFCAM(model, batch=192, answer="score")(images, score)
    for layer, said in flow.channels.items():
        assert said.fallback.all() and said.tried.any(), layer
        assert flow[layer].flatten(1).any(1).all()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"weight": "raw"},
        {"weight": "softmax"},
        {"combine": "A", "fallback": "uniform"},
        {"scale": "max"},
        {"share": 0.5},
    ],
    ids=str,
)
def test_no_relevance_at_a_layer(options: dict) -> None:
    """A layer of negative weights hands no relevance back: maps of zeros, and that is said."""
    model, images = classifier(), pictures()
    with torch.no_grad():
        model[2].weight.copy_(-model[2].weight.abs())
        model[2].bias.fill_(5.0)
    flow = CFCAM(model, **options)(images, TARGET)
    for layer in ("0", "1"):
        said = flow.channels[layer]
        assert not flow[layer].any() and not said.weights.any()
        assert said.fallback.all() and not said.tried.any() and not said.mass.any()
    assert all(flow[layer].flatten(1).any(1).all() for layer in ("2", "3"))
    assert flow.table().count("in 2 of 2 images") >= 2


def test_maps_of_one_pixel_show_no_place() -> None:
    """Min-max leaves nothing of a constant map: the coarse weights stand in, and that is said."""
    flow = CFCAM(classifier(), last="4")(pictures(), layers=["4"])
    said = flow.channels["4"]
    assert said.fallback.all() and not said.tried.any() and not said.mass.any()
    assert flow["4"].all() and flow["4"].isfinite().all()


# --- masks of images -----------------------------------------------------------------------------


def test_blur() -> None:
    images = pictures()
    for image, found in zip(images, blurred(images, (0.65, 0.1)), strict=True):
        close(found, gaussian(image, 0.65 * 8, 0.1 * 8))
    flat = torch.full((1, 3, 30, 20), 2.5)
    torch.testing.assert_close(blurred(flat), flat)
    assert blurred(torch.rand(1, 3, 1, 1)).shape == (1, 3, 1, 1)


def test_image_masks() -> None:
    model, images = classifier(), pictures()
    flow = CFCAM(model)(images)
    soft = image_masks(flow, (8, 8), layer="1")
    for b in range(2):
        up = resized(flow["1"][b], 8, 8)
        close(soft[b, 0], up / up.max())
    hard = image_masks(flow, (8, 8), layer="1", threshold=0.4)
    assert torch.equal(hard, (soft >= 0.4).double()) and 0 < float(hard.mean()) < 1
    assert torch.equal(image_masks(flow, (8, 8)), image_masks(flow, (8, 8), layer="3"))
    samples = torch.lerp(blurred(images), images, hard)
    assert torch.equal(samples[:, 0][hard[:, 0] == 1], images[:, 0][hard[:, 0] == 1])


def test_masks_of_empty_maps_are_empty() -> None:
    flow = CFCAM(classifier(), answer="score", weight="raw", fallback="zero")
    model = flow.model
    with torch.no_grad():
        model[6].bias -= 100
    empty = flow(pictures())
    for threshold in (None, 0.5):
        assert not image_masks(empty, (8, 8), threshold=threshold).any()


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"sorce": "R"}, "no option 'sorce'. Did you mean 'source'"),
        ({"source": "A"}, "source='A': it must be 'R' or 'RA'"),
        ({"scale": None}, "'minmax' or 'max'"),
        ({"baseline": "noise"}, "'blur' or 'zero'"),
        ({"answer": "logit"}, "'auto' or 'probability' or 'score'"),
        ({"weight": "grad"}, "weight='grad'"),
        ({"combine": "R"}, "combine='R'"),
        ({"fallback": "silent"}, "fallback='silent'"),
        ({"blur": (2.0, 0.2)}, "the first at most 1"),
        ({"blur": (0.2, 0.0)}, "side and deviation"),
        ({"blur": (0.2,)}, "side and deviation"),
        ({"blur": 0.2}, "side and deviation"),
        ({"share": 0.0}, "it is a share of the relevance"),
        ({"share": 95}, "it is a share of the relevance"),
        ({"most": 0}, "at least 1 channel"),
        ({"most": 2.5}, "at least 1 channel"),
        ({"batch": 0}, "1 or more"),
        ({"variant": 3}, "variants 1 and 2, not 3"),
    ],
)
def test_settings_refused(settings: dict, said: str) -> None:
    with pytest.raises(BadInput, match=said.replace("(", r"\(")):
        CFCAM(classifier(), **settings)


def test_calls_refused() -> None:
    model, images = classifier(), pictures()
    with pytest.raises(BadInput, match="no layer 'layer9'"):
        CFCAM(model)(images, layers=["layer9"])
    with pytest.raises(BadInput, match="'relevance' is not known"):
        CFCAM(model)(images, keep=("relevance",))
    with pytest.raises(BadInput, match="needs a ClassLogit or PixelSet"):
        CFCAM(Embedding(), variant=2, answer="probability")(images, scores.Similarity(U))
    with pytest.raises(BadInput, match="two classes or more"):
        CFCAM(classifier(classes=1), variant=2)(images)
    with pytest.raises(BadInput, match="there is none"):
        CFCAM(classifier(classes=1))(images)
    with pytest.raises(BadInput, match="there is none"):
        CFCAM(Embedding())(images, scores.Similarity(U))
    with pytest.raises(BadInput, match="threshold=0"):
        image_masks(CFCAM(model)(images), (8, 8), threshold=0)
    with pytest.raises(BadInput, match="no layer 'deep'"):
        image_masks(CFCAM(model)(images), (8, 8), layer="deep")


def test_masked_images_without_an_answer() -> None:
    """An embedding of a dark image is zero: what was asked, and of which layer or baseline."""
    model, images = Embedding(), pictures(seed=4)
    with torch.no_grad():
        model.conv.bias.fill_(-0.01)
    dark = CFCAM(model, others=U.flip(0)[None], baseline="zero")
    with pytest.raises(BadInput, match="under the baseline cannot be scored: The embedding"):
        dark(images, scores.Similarity(U))
    broken = CFCAM(model, variant=2, baseline="zero")
    with pytest.raises(NotFinite, match=r"images \[0, 1\] under the baseline is NaN"):
        broken(images, lambda v: v.sum(1) / (v.sum(1) > 0))
