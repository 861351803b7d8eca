"""The flow's invariants: what must hold of every flow, whatever the model."""

from __future__ import annotations

import weakref

import pytest
import torch
from networks import Functional, Residual, randomised
from torch import nn

from naflow import PRESETS, BadInput, InverseConfig, NAFlow, NotFinite, scores
from naflow.explainers import GradCAM, HiResCAM
from naflow.linalg import Stop
from naflow.run.preserve import preserved

LAYERS = ["conv1", "bn1", "relu", "maxpool", "layer1.0.add", "layer1.0", "layer1.1.add", "layer1.1"]


@pytest.fixture
def model() -> nn.Module:
    return randomised(Residual())


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(3, 3, 16, 16)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_gives_a_flow(model: nn.Module, images: torch.Tensor, preset: str) -> None:
    flow = NAFlow(model.double(), preset)(images.double())
    assert flow.layers == LAYERS
    for layer, found in flow:
        assert found.shape[0] == 3
        assert found.isfinite().all(), layer
        assert (found >= 0).all(), layer
        # Of a class for which nothing speaks beyond chance, "tested" has zeros to show.
        assert found.any() or preset == "tested", layer
    assert flow.stack((32, 20)).shape == (3, len(LAYERS), 32, 20)


def test_score_and_prediction_are_the_models_own(model: nn.Module, images: torch.Tensor) -> None:
    flow = NAFlow(model)(images)
    logits = model.eval()(images).detach()
    assert torch.equal(flow.output.detach(), logits)
    assert torch.equal(flow.prediction, logits.argmax(1))
    assert torch.equal(flow.score, logits.max(1).values)


def test_last_map_equals_grad_cam_and_hires_cam(model: nn.Module, images: torch.Tensor) -> None:
    """Global average pooling and one linear layer: Eq. 2 is Grad-CAM's map (the paper says so)."""
    last = NAFlow(model, "damped")(images)["layer1.1"]
    assert torch.allclose(last, HiResCAM(model)(images)["layer1.1"], atol=1e-7)
    assert torch.allclose(last, GradCAM(model)(images)["layer1.1"], atol=1e-7)


@pytest.mark.parametrize("preset", ["damped", "proximal", "plain", "paper"])
def test_a_batch_gives_what_single_images_give(
    model: nn.Module, images: torch.Tensor, preset: str
) -> None:
    model, images = model.double(), images.double()
    explainer = NAFlow(model, preset, tol=1e-10, max_iterations=2000)
    batch = explainer(images)
    for i in range(3):
        single = explainer(images[i : i + 1], scores.ClassLogit(int(batch.prediction[i])))
        for layer, found in single:
            scale = float(found.max())
            assert torch.allclose(found[0], batch[layer][i], atol=1e-5 * scale), layer


def test_proximal_without_abandonment_returns_the_forward_activation() -> None:
    """LeakyReLU and average pooling abandon nothing: the nearest inverse is the forward pass."""
    model = nn.Sequential(
        nn.Conv2d(3, 5, 3, padding=1), nn.LeakyReLU(0.2), nn.Conv2d(5, 8, 3), nn.LeakyReLU(0.2),
        nn.AvgPool2d(2), nn.Conv2d(8, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    ).double()  # fmt: skip
    images = torch.randn(2, 3, 12, 12).double()
    flow, null = NAFlow(model, "proximal", tol=1e-12)(images), HiResCAM(model)(images)
    assert flow.layers == null.layers
    for layer, found in flow:
        assert torch.allclose(found, null[layer], atol=1e-9), layer
        assert flow.stats[layer].norm_ratio == pytest.approx(torch.ones(2).double(), abs=1e-9)


@pytest.mark.parametrize("preset", ["damped", "selective"])
def test_abandoned_neurons_are_zero(model: nn.Module, images: torch.Tensor, preset: str) -> None:
    flow = NAFlow(model, preset)(images, keep=("bpfm", "importance"))
    for layer in flow.layers:
        unused = flow.importance[layer] == 0
        assert not flow.bpfm[layer][unused].any(), layer
        share = unused.flatten(1).double().mean(1)
        assert torch.allclose(flow.stats[layer].abandoned, share), layer
    assert flow.stats["bn1"].abandoned.min() > 0.1  # ReLU and max pooling abandon many


def test_importance_is_the_gradient(model: nn.Module, images: torch.Tensor) -> None:
    flow = NAFlow(model, "damped")(images, keep=("importance",))
    made = {}
    hook = model.eval().maxpool.register_forward_hook(lambda m, a, y: made.update(y=y))
    score = model(images).max(1).values.sum()
    hook.remove()
    assert torch.allclose(flow.importance["maxpool"], torch.autograd.grad(score, made["y"])[0])


def test_stats(model: nn.Module, images: torch.Tensor) -> None:
    flow = NAFlow(model, "damped")(images)
    assert list(flow.stats) == LAYERS
    solved = flow.stats["layer1.0"]
    assert solved.rule == "least squares (local affine map)"
    assert (solved.iterations > 0).all()
    assert ((solved.residual > 0) & (solved.residual < 1)).all()
    assert all(stop in (Stop.LEAST_SQUARES, Stop.COMPATIBLE) for stop in solved.stop)
    assert flow.stats["layer1.1"].norm_ratio.tolist() == [1, 1, 1]
    assert "layer1.0" in flow.table()


def test_layers_can_be_chosen(model: nn.Module, images: torch.Tensor) -> None:
    whole, part = NAFlow(model)(images), NAFlow(model)(images, layers=["layer1.0", "relu"])
    assert part.layers == ["relu", "layer1.0"]
    for layer, found in part:
        assert torch.equal(found, whole[layer])


def test_last_layer_can_be_chosen(images: torch.Tensor) -> None:
    flow = NAFlow(Functional(), last="conv2")(images)
    assert flow.layers[-1] == "conv2"


def test_progress_is_told_layer_by_layer(model: nn.Module, images: torch.Tensor) -> None:
    seen = []
    NAFlow(model, progress=lambda *step: seen.append(step))(images)
    assert [step[0] for step in seen] == LAYERS[-2::-1]
    assert seen[-1][1:] == (7, 7)


def test_same_inputs_give_the_same_bits(model: nn.Module, images: torch.Tensor) -> None:
    explainer = NAFlow(model)
    first, second = explainer(images), explainer(images)
    assert all(torch.equal(first[layer], second[layer]) for layer in LAYERS)


def test_gamma_zero_gives_a_finite_flow(model: nn.Module, images: torch.Tensor) -> None:
    with torch.no_grad():
        model.bn1.weight[2] = 0
    explainer = NAFlow(model, "damped")
    flow = explainer(images)
    assert all(found.isfinite().all() for _, found in flow)
    for said in (str(explainer.plan(images)), flow.table()):
        assert "1 of 6 have gamma = 0: abandoned" in said


def test_overflow_is_reported_with_layer_and_image() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 3),
                          nn.AdaptiveAvgPool2d(1), nn.Flatten())  # fmt: skip
    with torch.no_grad():
        model[1].weight.fill_(2e-38)
        model[1].bias.fill_(1.0)
        model[1].running_var.fill_(1e6)
    with pytest.raises(NotFinite, match=r"layer '1'.*'0'.*images \[0, 1\].*damping"):
        NAFlow(model, "plain", merge="never")(torch.randn(2, 3, 8, 8))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"preset": "dampd"}, "no preset 'dampd'.*'damped'"),
        ({"dampin": 1.0}, "no setting 'dampin'.*'damping'"),
        ({"damping": -1.0}, "damping=-1.0"),
        ({"damping": "x"}, "damping='x': it must be a number"),
        ({"max_iterations": 2.5}, "max_iterations=2.5: it must be a whole number, or None"),
        ({"anchor": "none"}, "anchor='none': it must be 'zero' or 'forward'"),
        ({"tol": 0.0}, "tol=0.0"),
        ({"max_iterations": 0}, "max_iterations=0"),
    ],
)
def test_unknown_settings(model: nn.Module, settings: dict, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        NAFlow(model, **settings)


def test_unknown_names(model: nn.Module, images: torch.Tensor) -> None:
    with pytest.raises(BadInput, match=r"no layer 'layer1.2'.*'layer1\.\d'"):
        NAFlow(model)(images, layers=["layer1.2"])
    with pytest.raises(BadInput, match="no layer 'layer9'"):
        NAFlow(model, last="layer9")(images)
    with pytest.raises(BadInput, match=r"keep='bfpm'.*'bpfm'"):
        NAFlow(model)(images, keep=("bfpm",))
    with pytest.raises(BadInput, match="no layer 'con1'"):
        NAFlow(model)(images)["con1"]


def test_config_object_is_a_preset(model: nn.Module, images: torch.Tensor) -> None:
    by_name, by_config = NAFlow(model, "damped")(images), NAFlow(model, InverseConfig())(images)
    assert torch.equal(by_name["conv1"], by_config["conv1"])


INSIDE = ["layer1.0.conv1", "layer1.0.bn1", "layer1.0.relu", "layer1.0.conv2", "layer1.0.bn2"]


def test_detail_looks_into_blocks(model: nn.Module, images: torch.Tensor) -> None:
    explainer = NAFlow(model, "damped")
    flow = explainer(images, detail=["layer1.0"], keep=("bpfm", "importance"))
    assert flow.layers == [*LAYERS[:4], *INSIDE, *LAYERS[4:]]
    assert NAFlow(model)(images, detail=["layer1.0"]).layers == flow.layers
    plain = explainer(images)
    assert all(torch.equal(flow[layer], plain[layer]) for layer in LAYERS)
    assert HiResCAM(model)(images, detail=["layer1.0"]).layers == flow.layers
    assert len(NAFlow(model)(images, detail=True)) == len(LAYERS) + 2 * len(INSIDE)
    for layer in INSIDE:
        unused = flow.importance[layer] == 0
        assert not flow.bpfm[layer][unused].any()
    # the block's own inverse decides: its first convolution applied to the BPFM before it
    block = model.eval().layer1[0]
    with torch.no_grad():
        expected = block.conv1(flow.bpfm["maxpool"]) * (flow.importance["layer1.0.conv1"] != 0)
    assert torch.allclose(flow.bpfm["layer1.0.conv1"], expected, atol=1e-5)


def test_detail_of_the_forward_point_is_the_forward_pass(model: nn.Module) -> None:
    """An inverse that returns the forward activation gives HiResCAM inside its blocks too."""
    images = torch.randn(2, 3, 16, 16)
    settings = {"anchor": "forward", "damping": float("inf")}
    flow, null = (
        NAFlow(model, "damped", **settings)(images, detail=True),
        HiResCAM(model)(images, detail=True),
    )
    for layer in INSIDE:
        assert torch.allclose(flow[layer], null[layer], atol=1e-6), layer


def test_importance_inside_a_block_is_the_gradient(model: nn.Module, images: torch.Tensor) -> None:
    flow = HiResCAM(model)(images, detail=True, keep=("importance",), layers=["layer1.1.bn1"])
    made = {}
    model.eval().layer1[1].relu.inplace = False
    hook = model.layer1[1].bn1.register_forward_hook(lambda m, a, y: made.update(y=y))
    score = model(images).max(1).values.sum()
    hook.remove()
    expected = torch.autograd.grad(score, made["y"])[0]
    assert torch.allclose(flow.importance["layer1.1.bn1"], expected, atol=1e-7)


def test_detail_is_checked(model: nn.Module, images: torch.Tensor) -> None:
    with pytest.raises(BadInput, match=r"'layer2' has no feature maps inside.*'layer1"):
        NAFlow(model)(images, detail=["layer2"])
    with pytest.raises(BadInput, match="merge='never'"):
        NAFlow(model, "paper")(images, detail=True)


def test_a_module_used_twice_gets_two_names(images: torch.Tensor) -> None:
    relu = nn.ReLU()
    model = nn.Sequential(nn.Conv2d(3, 4, 3), relu, nn.Conv2d(4, 4, 3), relu,
                          nn.AdaptiveAvgPool2d(1), nn.Flatten())  # fmt: skip
    flow = NAFlow(model)(images)
    assert flow.layers == ["0", "1", "2", "1#2"]
    assert not torch.equal(flow["1"][:, :5, :5], flow["1#2"][:, :5, :5])


def test_an_embedding_has_no_predicted_class(images: torch.Tensor) -> None:
    model = randomised(Residual(classes=8))
    flow = NAFlow(model)(images, scores.ChannelContribution(torch.randn(8)))
    assert flow.prediction is None
    assert flow.output.shape == (3, 8)
    assert not flow.output.requires_grad


@pytest.mark.parametrize("preset", ["selective", "damped"])
def test_a_record_is_freed_behind_the_flow(
    model: nn.Module, images: torch.Tensor, preset: str
) -> None:
    explainer = NAFlow(model.eval(), preset)
    with preserved(model):
        recorded = explainer.recorded(images, None, (), detail=False)
        kept = [weakref.ref(unit.result._held) for unit in recorded.chain.units]
        assert all(kept)
        flow = explainer.explain(recorded, None, ("importance",))
    left = [x() is not None for x in kept]
    assert left == [True] + [False] * (len(kept) - 1)  # the shallowest layer
    for layer, importance in explainer(images, keep=["importance"]).importance.items():
        assert torch.equal(flow.importance[layer], importance), layer
