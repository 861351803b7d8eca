"""The adapted methods against pytorch-grad-cam run its own way, and against plain loops."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
import torch
from grad_cam_maps import MODULES, TARGETS, close, network, pictures, theirs
from networks import Residual, Undecided, randomised
from torch import Tensor, nn
from torch.nn import functional as F
from untouched import same, state_of

from naflow import BadInput, NotFinite, scores
from naflow.explainer import Explainer
from naflow.explainers.library import (
    FEM,
    AblationCAM,
    FullGrad,
    GradCAMElementWise,
    ScoreCAM,
)

LOCAL = [GradCAMElementWise, FEM]
KINDS = [*LOCAL, ScoreCAM, AblationCAM, FullGrad]

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


# --- the library, run its own way ----------------------------------------------------------------


@pytest.mark.parametrize("kind", [*LOCAL, ScoreCAM, AblationCAM])
def test_equals_pytorch_grad_cam(kind: type, capfd: pytest.CaptureFixture[str]) -> None:
    model, images = network(), pictures()
    flow = kind(model)(images, scores.ClassLogit(TARGETS))
    assert capfd.readouterr() == ("", "")  # no bars
    assert set(MODULES) <= set(flow.layers) and flow.method == kind(model).name
    for layer in MODULES:
        assert float(flow[layer].amin()) >= 0
        close(flow[layer], theirs(kind.kind, model, layer, images))


def test_full_grad_equals_pytorch_grad_cam() -> None:
    import pytorch_grad_cam
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    model, images = network(), pictures()
    model.requires_grad_(True)
    flow = FullGrad(model)(images, scores.ClassLogit(TARGETS), keep=("importance",))
    assert flow.layers == ["input"] and flow["input"].shape == (2, 24, 24)
    assert flow.importance["input"].shape == images.shape
    cam = pytorch_grad_cam.FullGrad(model, [])
    scaled = cam(images, [ClassifierOutputTarget(c) for c in TARGETS])
    ours = flow["input"] - flow["input"].amin((1, 2), keepdim=True)
    close(ours / ours.amax((1, 2), keepdim=True), scaled)


class Unordered(nn.Module):
    """Layers that run in another order than they are defined in, one of them twice, one never."""

    def __init__(self, order: str) -> None:
        super().__init__()
        for name in order:
            torch.manual_seed(ord(name))
            setattr(self, name, nn.Conv2d(3, 3, 3, padding=1))
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.a(x))
        x = self.relu(self.b(self.b(x)))
        return x.mean((2, 3))


def test_full_grad_pairs_biases_with_their_own_gradients() -> None:
    images = pictures()
    one, other = (FullGrad(Unordered(order))(images)["input"] for order in ("abc", "cba"))
    assert torch.equal(one, other)
    model = Unordered("abc")
    with torch.no_grad():
        for name in "ab":
            getattr(model, name).bias.zero_()
    x = images.clone().requires_grad_()
    (g,) = torch.autograd.grad(model(x).amax(1).sum(), x)
    terms = (x * g).detach().abs()
    terms = terms - terms.amin((2, 3), keepdim=True)
    expected = (terms / (1e-7 + terms.amax((2, 3), keepdim=True))).sum(1)  # their constant
    close(FullGrad(model)(images)["input"], expected)


# --- plain loops ---------------------------------------------------------------------------------

Answer = Callable[[int, object], float]  # number of the image, output of one -> its score


def score_cam(
    model: nn.Module, x: Tensor, images: Tensor, answer: Answer, most: int | None = None
) -> Tensor:
    """Score-CAM, one image and channel at a time; x: the layer's activation."""
    found = []
    for b, image in enumerate(images):
        deviation = [float(channel.std()) for channel in x[b]]
        kept = sorted(range(len(x[b])), key=lambda k, d=deviation: -d[k])[:most]
        answers = []
        for k in kept:
            mask = F.interpolate(
                x[b, k][None, None], image.shape[1:], mode="bilinear", align_corners=True
            )
            mask = (mask - mask.min()) / (mask.max() - mask.min() + 1e-8)
            with torch.no_grad():
                answers.append(answer(b, model(image * mask)))
        weights = torch.tensor(answers).softmax(0)
        total = sum(w * x[b, k] for w, k in zip(weights, kept, strict=True))
        found.append(total.relu())
    return torch.stack(found)


def ablation_cam(model: nn.Module, module: nn.Module, images: Tensor, answer: Answer) -> Tensor:
    """Ablation-CAM, one image and channel at a time, by a hook on the module."""
    found = []
    for b in range(len(images)):

        def asked(k: int | None, b: int = b) -> tuple[float, Tensor]:
            made = []

            def hook(_: nn.Module, __: tuple, output: Tensor) -> Tensor:
                made.append(output.clone())
                output = output.clone()
                output[:, [] if k is None else [k]] = 0
                return output

            handle = module.register_forward_hook(hook)
            with torch.no_grad():
                value = answer(b, model(images[b : b + 1]))
            handle.remove()
            return value, made[0][0]

        whole, x = asked(None)
        weights = [(whole - asked(k)[0]) / whole for k in range(len(x))]
        found.append(sum(w * c for w, c in zip(weights, x, strict=True)).relu())
    return torch.stack(found)


def logit(b: int, output: Tensor) -> float:
    return float(output[0, TARGETS[b]])


class Embedding(nn.Module):
    """(B, 2, 8, 8) -> the mean of four channels; or the channels as logits of classes."""

    def __init__(self, segments: bool = False) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.conv, self.relu = nn.Conv2d(2, 4, 3, 2, 1), nn.ReLU()
        self.segments = segments

    def forward(self, x: Tensor) -> Tensor | dict[str, Tensor]:
        x = self.relu(self.conv(x))
        return {"out": x * 3, "loss": x.new_zeros(())} if self.segments else x.mean((2, 3))


U = torch.tensor([[1.0, 2.0, 0.5, 3.0], [0.3, 0.1, 2.0, 1.0]])


def question(kind: str, model: nn.Module, images: Tensor) -> tuple[scores.Score, Answer]:
    """A score, and what it asks of one output, in plain numbers."""
    with torch.no_grad():
        output = model(images)
    if kind == "contribution":  # the shares are those of the whole image
        shares = (output * U).abs() / (output * U).abs().sum(1, keepdim=True)
        return scores.ChannelContribution(U), lambda b, v: float((shares[b] * v[0]).sum())
    if kind == "similarity":
        score = scores.Similarity(U, "dot")
        return score, lambda b, v: float((v[0] * U[b]).sum())
    pixels = output["out"].argmax(1) == 1  # those of the whole image
    assert pixels.flatten(1).any(1).all()
    return scores.PixelSet(1), lambda b, v: float(v["out"][0, 1][pixels[b]].sum())


@pytest.mark.parametrize("kind", ["contribution", "similarity", "pixels"])
def test_scores_that_are_no_class(kind: str) -> None:
    """Of two images, each with a reference or pixels of its own."""
    model, images = Embedding(kind == "pixels"), pictures(channels=2, side=8)
    score, answer = question(kind, model, images)
    with torch.no_grad():
        x = model.relu(model.conv(images))
    close(ScoreCAM(model)(images, score)["relu"], score_cam(model, x, images, answer))
    expected = ablation_cam(model, model.relu, images, answer)
    close(AblationCAM(model)(images, score)["relu"], expected)
    for local in (*LOCAL, FullGrad):
        flow = local(model)(images, score)
        assert all(bool(found.any()) for _, found in flow)
        assert (flow.prediction is None) == (kind != "pixels")


def test_the_predicted_class_is_that_of_the_whole_image() -> None:
    model, images = network(), pictures()
    target = model(images).argmax(1)
    for kind in (ScoreCAM, AblationCAM):
        explainer = kind(model)
        expected = explainer(images, scores.ClassLogit(target), layers=["layer1.0"])
        assert torch.equal(explainer(images, layers=["layer1.0"])["layer1.0"], expected["layer1.0"])


def test_ablation_anywhere() -> None:
    """A cut point with negative values, a branch inside a block, an in-place layer."""
    model, images = randomised(Residual()).eval(), pictures()
    flow = AblationCAM(model)(images, scores.ClassLogit(TARGETS), detail=True)
    for layer in ("conv1", "bn1", "layer1.0.conv1", "layer1.1.bn2"):
        expected = ablation_cam(model, model.get_submodule(layer), images, logit)
        close(flow[layer], expected, 1e-4)


def test_ablation_in_a_model_that_looks_at_its_values() -> None:
    torch.manual_seed(2)
    model, images = Undecided(), pictures()
    flow = AblationCAM(model)(images, scores.ClassLogit(TARGETS))
    assert flow.layers == ["stem.0", "stem.1", "body.0", "body.1"]
    for layer in flow.layers:
        close(flow[layer], ablation_cam(model, model.get_submodule(layer), images, logit))


def test_score_cam_of_some_channels() -> None:
    """Those of the largest deviation; the name says so."""
    model, images = network(), pictures()
    explainer = ScoreCAM(model, most=2, batch=1)
    flow = explainer(images, scores.ClassLogit(TARGETS), keep=("importance",))
    assert flow.method == "Score-CAM (2 channels)"
    x = model.relu(model.bn1(model.conv1(images))).detach()
    close(flow["relu"], score_cam(model, x, images, logit, most=2))
    assert set(flow.importance) == set(flow.layers)


@pytest.mark.parametrize("kind", [ScoreCAM, AblationCAM])
@pytest.mark.parametrize("batch", [3, 10**30])
def test_any_number_of_channels_at_a_time(kind: type, batch: int) -> None:
    model, images = network(), pictures()
    flow, others = kind(model)(images), kind(model, batch=batch)(images)
    for layer in flow.layers:
        torch.testing.assert_close(others[layer], flow[layer], rtol=1e-4, atol=1e-6)


# --- what every method keeps ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_is_its_images(kind: type) -> None:
    model, images = network(), pictures(3)
    targets = torch.tensor([2, 0, 1])
    together = kind(model)(images, scores.ClassLogit(targets))
    for b in range(3):
        alone = kind(model)(images[b : b + 1], scores.ClassLogit(int(targets[b])))
        assert alone.layers == together.layers
        for layer in alone.layers:
            torch.testing.assert_close(alone[layer][0], together[layer][b], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fails", [False, True])
def test_the_model_is_left_as_it_was(kind: type, fails: bool) -> None:
    model = Residual().train()
    model.layer1[0].eval()
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    before, images = state_of(model), pictures()
    kept, calls = images.clone(), []

    def score(output: Tensor) -> Tensor:
        calls.append(1)
        if fails and len(calls) > 1:
            raise RuntimeError("boom")
        return output[:, 0]

    explainer: Explainer = kind(model)
    if fails and kind not in LOCAL:  # these ask once
        with pytest.raises(RuntimeError, match="boom"):
            explainer(images, score)
    else:
        explainer(images, score)
    assert same(state_of(model), before)
    assert torch.equal(images, kept) and images.grad is None


def test_the_library_keeps_its_bars() -> None:
    from pytorch_grad_cam import ablation_cam, score_cam

    bars = ablation_cam.tqdm, score_cam.tqdm
    for kind in (ScoreCAM, AblationCAM):
        kind(network())(pictures(), layers=["layer1.0"])
    assert (ablation_cam.tqdm, score_cam.tqdm) == bars
    assert all(callable(module.tqdm) for module in bars)


# --- what is told --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_package_is_told_before_any_work(
    kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pytorch_grad_cam", None)
    with pytest.raises(BadInput, match=r"pip install 'naflow\[library\]'"):
        kind(network())


def test_settings_out_of_range() -> None:
    for settings in ({"most": 0}, {"batch": 0}, {"batch": 1.5}):
        with pytest.raises(BadInput, match=rf"{next(iter(settings))}=.*1 or more"):
            ScoreCAM(network(), **settings)
    with pytest.raises(BadInput, match="batch=0"):
        AblationCAM(network(), batch=0)


def test_layers_that_are_not_there() -> None:
    model, images = network(), pictures()
    with pytest.raises(BadInput, match=r"no layer 'layer1.7'. Did you mean"):
        FEM(model)(images, layers=["layer1.7"])
    with pytest.raises(BadInput, match=r"at 'input', and none at 'layer1\.0'"):
        FullGrad(model)(images, layers=["layer1.0"])
    assert FullGrad(model)(images, layers=["input"]).layers == ["input"]


def test_a_score_of_zero_has_no_shares() -> None:
    with pytest.raises(BadInput, match=r"images \[0, 1\] is 0"):
        AblationCAM(network())(pictures(), lambda output: output[:, 0] - output[:, 0].detach())


@pytest.mark.parametrize("kind", [ScoreCAM, AblationCAM])
def test_masked_images_without_an_answer(kind: type) -> None:
    calls = []

    def nothing(output: Tensor) -> Tensor:
        calls.append(1)
        if len(calls) > 3:
            raise BadInput("the sky is empty.")
        return output[:, 0]

    with pytest.raises(BadInput, match=r"CAM .* at 'relu': the sky is empty"):
        kind(network())(pictures(), nothing, layers=["relu"])

    def undefined(output: Tensor) -> Tensor:
        calls.append(1)
        return output[:, 0] if len(calls) == 1 else output[:, 0] * torch.nan

    calls.clear()
    with pytest.raises(NotFinite, match=r"at 'relu' is NaN or infinite for images \[0, 1\]"):
        kind(network())(pictures(), undefined, layers=["relu"])
