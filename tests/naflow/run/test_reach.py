"""Models as people have them: every map is that of hooks on the model's own run."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from networks import Residual, randomised
from own_run import compare, own_run
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from naflow import BadInput, NAFlow, UnsupportedModel
from naflow.explainers import CLRP, LRP, SGLRP, GradCAM, HiResCAM, RelevanceCAM, SegGradCAM
from naflow.scores import ClassLogit, PixelSet

ONE = ClassLogit(1)


class Base(nn.Module):
    """Two convolutions and a head; what is between them is the case."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.c, self.c2 = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, padding=1)
        self.fc = nn.Linear(8, 4)


@pytest.fixture
def x() -> Tensor:
    return torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def explained(model: nn.Module, x: Tensor, layers: list[str], score: Any = ONE) -> None:
    """HiResCAM and Grad-CAM at these modules are those of hooks, and every preset runs."""
    calls = own_run(model, x, score)
    for method, kind in ((HiResCAM, "hirescam"), (GradCAM, "gradcam")):
        flow = method(model)(x, score)
        assert compare(flow, calls, kind) == layers, flow.layers
    for preset in ("selective", "damped"):
        assert NAFlow(model, preset)(x, score).layers == flow.layers


# --- what a forward does -------------------------------------------------------------------------


class SizeReadAfterPooling(Base):
    def forward(self, x: Tensor) -> Tensor:
        x = self.c(x)
        return self.fc(F.adaptive_avg_pool2d(x, 1).view(x.size(0), -1))


class ResizedToTheInput(Base):
    def forward(self, x: Tensor) -> Tensor:
        g = self.c2(self.c(x).relu())
        return self.fc(F.interpolate(g, size=x.shape[2:], mode="bilinear").mean((2, 3)))


class DefaultArguments(Base):
    def forward(self, x: Tensor, mask: Tensor | None = None, flag: bool = False) -> Tensor:
        if mask is not None:
            x = x * mask
        return self.fc(self.c2(self.c(x)).mean((2, 3)))


class AsksItsShape(Base):
    def forward(self, x: Tensor) -> Tensor:
        assert x.ndim == 4
        if x.shape[-1] < 64:
            x = x * 1.0
        return self.fc(self.c(x).mean((2, 3)))


class AsksItsValues(Base):
    def forward(self, x: Tensor) -> Tensor:
        f = self.c(x)
        return self.fc((self.c2(f) if f.max() > 0 else f).mean((2, 3)))


class HookInForward(Base):
    gradient: Tensor | None = None

    def save(self, gradient: Tensor) -> None:
        self.gradient = gradient

    def forward(self, x: Tensor) -> Tensor:
        f = self.c(x)
        if f.requires_grad:
            f.register_hook(self.save)
            f.retain_grad()
        return self.fc(f.mean((2, 3)))


class NoGradInside(Base):
    def forward(self, x: Tensor) -> Tensor:
        f = self.c(x)
        with torch.no_grad():
            gate = torch.sigmoid(5 * self.c2(f.relu()))
        return self.fc((f * gate).relu().mean((2, 3)))


class Straight(torch.autograd.Function):
    """The sign, with the gradient of the identity."""

    @staticmethod
    def forward(ctx: Any, a: Tensor) -> Tensor:
        return a.sign()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


class OwnBackward(Base):
    def forward(self, x: Tensor) -> Tensor:
        f = self.c(x)
        return self.fc((Straight.apply(f) * f.abs()).mean((2, 3)))


class FilledTensor(Base):
    def forward(self, x: Tensor) -> Tensor:
        f = self.c(x)
        return self.fc((f * torch.empty_like(f).fill_(0.5)).mean((2, 3)))


class Checkpointed(Base):
    def forward(self, x: Tensor) -> Tensor:
        return self.fc(checkpoint(self.c2, self.c(x), use_reentrant=False).mean((2, 3)))


@pytest.mark.parametrize(
    ("kind", "layers"),
    [
        (SizeReadAfterPooling, ["c"]),
        (ResizedToTheInput, ["c", "c2"]),
        (DefaultArguments, ["c", "c2"]),
        (AsksItsShape, ["c"]),
        (AsksItsValues, ["c", "c2"]),
        (HookInForward, ["c"]),
        (NoGradInside, ["c"]),
        (OwnBackward, ["c"]),
        (FilledTensor, ["c"]),
        (Checkpointed, ["c", "c2"]),
    ],
)
def test_a_forward_of_any_kind(kind: type[nn.Module], layers: list[str], x: Tensor) -> None:
    explained(kind().eval(), x, layers)


def test_a_hook_in_forward_is_called(x: Tensor) -> None:
    model = HookInForward().eval()
    expected = own_run(model, x, ONE)["c"][0].gradient
    model.gradient = None
    HiResCAM(model)(x, ONE)
    assert torch.allclose(model.gradient, expected)


def test_a_hook_that_changes_the_gradient_is_part_of_the_model(x: Tensor) -> None:
    """Once, at a cut point as inside a block."""

    class Changed(Base):
        calls = 0
        kept: dict[str, Tensor]

        def double(self, gradient: Tensor) -> Tensor:
            self.calls += 1
            return 2 * gradient

        def forward(self, x: Tensor) -> Tensor:
            f = self.c(x)
            g = self.c2(f)
            h = self.fc(g.mT).mT
            g.register_hook(self.double)
            h.register_hook(hook=lambda gradient: 3 * gradient)
            self.kept = {"c": f, "c2": g}
            return (h.mean(2) + g[:, :, :4].amax(2)).mean(2)

    model = Changed().eval()
    model.fc = nn.Linear(14, 14)
    z = model(x)
    for value in model.kept.values():
        value.retain_grad()
    ONE(z).sum().backward()
    own, model.calls = model.kept, 0
    flow = HiResCAM(model)(x, ONE, keep=("importance",))
    assert model.calls == 1 and flow.layers == ["c", "c2"]
    for layer, value in own.items():
        torch.testing.assert_close(flow.importance[layer], value.grad)


def test_hooks_on_modules_are_part_of_the_model(x: Tensor) -> None:
    model = randomised(Residual()).eval()
    model.layer1.register_forward_hook(lambda m, a, y: 2 * y)
    model.register_forward_hook(lambda m, a, y: 3 * y)
    flow = HiResCAM(model)(x)
    assert torch.allclose(flow.score, model(x).max(1).values)
    compare(flow, own_run(model, x, ClassLogit()))


def test_a_model_that_changes_between_two_calls(x: Tensor) -> None:
    class Compares(Base):
        reference = torch.zeros(1, 8)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc((self.c(x).mean((2, 3)) - self.reference) ** 2)

    model = Compares().eval()
    explainer = HiResCAM(model)
    first = explainer(x, ONE)
    model.reference = torch.ones(1, 8)
    second = explainer(x, ONE)
    assert torch.equal(second.score, model(x)[:, 1].detach())
    assert compare(second, own_run(model, x, ONE)) == ["c"]
    assert not torch.allclose(first["c"], second["c"], rtol=0.1)


def test_a_replaced_module_and_another_batch_are_seen(x: Tensor) -> None:
    model = Residual()
    explainer = HiResCAM(model)
    before = explainer(x).score
    model.fc = nn.Linear(6, 4)
    assert not torch.equal(explainer(x).score, before)
    for batch in (3, 1):
        images = torch.randn(batch, 3, 20, 16)
        assert torch.equal(explainer(images).score, model.eval()(images).max(1).values.detach())


# --- what it returns -----------------------------------------------------------------------------


@dataclass
class Answer:
    logits: Tensor
    features: Tensor


class Returns(Base):
    def __init__(self, wrap: Callable[[Tensor, Tensor], Any]) -> None:
        super().__init__()
        self.wrap = wrap

    def forward(self, x: Tensor) -> Any:
        f = self.c2(self.c(x))
        return self.wrap(self.fc(f.mean((2, 3))), f)


WRAPS: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "dict": lambda z, f: {"logits": z, "features": f},
    "dict out": lambda z, f: {"features": f, "out": z},
    "dataclass": Answer,
    "tuple": lambda z, f: (z, f),
    "nested": lambda z, f: (z, {"inner": [f, None, "text"]}),
}


@pytest.mark.parametrize("name", WRAPS)
def test_outputs(name: str, x: Tensor) -> None:
    model = Returns(WRAPS[name]).eval()
    explained(model, x, ["c", "c2"])
    flow = HiResCAM(model)(x)
    plain = HiResCAM(Returns(lambda z, f: z).eval())(x)
    assert torch.equal(flow.prediction, plain.prediction)
    assert torch.equal(flow.score, plain.score)
    assert type(flow.output) is type(model(x))


def test_an_output_of_another_kind_takes_a_callable(x: Tensor) -> None:
    model = Returns(lambda z, f: {"classes": z, "features": f}).eval()
    with pytest.raises(BadInput, match=r"returns a dict without 'logits' or 'out'.*score=lambda"):
        HiResCAM(model)(x)
    explained(model, x, ["c", "c2"], lambda output: output["classes"][:, 1])


class OneLogit(Base):
    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.c(x).relu().mean((2, 3)))[:, 0]


@pytest.mark.parametrize("kind", [LRP, CLRP, SGLRP, RelevanceCAM, HiResCAM, NAFlow])
def test_one_logit(kind: type, x: Tensor) -> None:
    """The class that it decides for is explained; of the other the maps are others."""
    model = OneLogit().eval()
    z = model(x).detach()
    if kind in (CLRP, SGLRP):
        with pytest.raises(BadInput, match="single logit is explained by LRP, and by CLRP with"):
            kind(model)(x)
        assert CLRP(model, variant=2)(x).layers == ["c", "relu"]
        return
    flow = kind(model)(x)
    assert torch.allclose(flow.score, z.abs())
    assert torch.equal(flow.prediction, (z > 0).long())
    for index in (0, 1):
        asked = kind(model)(x, ClassLogit(index))
        assert torch.allclose(asked.score, z if index else -z)
    of_callable = HiResCAM(model)(x, lambda output: output)
    assert torch.equal(of_callable["c"], HiResCAM(model)(x, ONE)["c"])


def test_lrp_of_an_output_of_one_axis(x: Tensor) -> None:
    flow = LRP(OneLogit().eval())(x, lambda output: output)
    assert all(m.isfinite().all() and m.any() for _, m in flow)


def test_one_channel_is_explained_by_its_foreground(x: Tensor) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 1))
    inside = (model(x)[:, 0] > 0).detach()
    assert 0 < inside.float().mean() < 1
    found = SegGradCAM(model)(x, PixelSet(0))
    assert torch.equal(found["0"], SegGradCAM(model)(x, PixelSet(0, inside))["0"])
    every = SegGradCAM(model)(x, PixelSet(0, torch.ones(16, 16)))
    assert not torch.equal(found["0"], every["0"])


# --- what it takes -------------------------------------------------------------------------------


class TakesMore(Base):
    def forward(self, x: Tensor, scale: Tensor, *, shift: float = 0.0) -> Tensor:
        return self.fc((self.c(x) * scale[:, None, None, None] + shift).relu().mean((2, 3)))


def test_further_inputs_are_constants(x: Tensor) -> None:
    model, scale = TakesMore().eval(), torch.tensor([1.0, -2.0])
    positional = HiResCAM(model)(x, ONE, inputs=(scale,))
    assert compare(positional, own_run(model, x, ONE, scale)) == ["c"]
    named = HiResCAM(model)(x, ONE, inputs={"scale": scale, "shift": 0.3})
    assert torch.allclose(named.score, model(x, scale, shift=0.3)[:, 1])
    for explainer in (NAFlow(model, "damped"), LRP(model), GradCAM(model)):
        assert explainer(x, ONE, inputs={"scale": scale}).layers == positional.layers
    assert [unit.layer for unit in NAFlow(model).plan(x, inputs=(scale,)).units] == (
        positional.layers
    )
    with pytest.raises(BadInput, match=r"cannot run on images of shape .*'scale'"):
        HiResCAM(model)(x, ONE)


# --- wrappers and contexts -----------------------------------------------------------------------


WRAPPERS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "DataParallel": nn.DataParallel,
    "twice": lambda model: nn.DataParallel(nn.DataParallel(model)),
    "EMA": torch.optim.swa_utils.AveragedModel,
    "compiled": torch.compile,
    "compiled inside": lambda model: nn.DataParallel(torch.compile(model)),
    "a module of one's own": lambda model: nn.Sequential(model),
}


@pytest.mark.parametrize("name", WRAPPERS)
def test_wrappers_explain_what_is_inside(name: str, x: Tensor) -> None:
    model = DefaultArguments().eval()
    expected = HiResCAM(model)(x, ONE)
    found = HiResCAM(WRAPPERS[name](model))(x, ONE)
    assert [layer.split(".")[-1] for layer in found.layers] == ["c", "c2"]
    for layer, name in zip(found.layers, expected.layers, strict=True):
        assert torch.equal(found[layer], expected[name])


@pytest.mark.parametrize("kind", [HiResCAM, NAFlow, LRP])
def test_modes_outside_change_nothing(kind: type, x: Tensor) -> None:
    model = randomised(Residual()).eval()
    expected = kind(model)(x, ONE)
    contexts = (torch.no_grad(), torch.inference_mode(), torch.autocast("cpu", torch.bfloat16))
    for context in contexts:
        with context:
            found = kind(model)(x, ONE)
        for layer, maps in expected:
            assert found[layer].dtype == torch.float32
            assert torch.equal(found[layer], maps), (context, layer)


def test_images_made_under_inference_mode(x: Tensor) -> None:
    with torch.inference_mode():
        made = x.clone()
    for kind in (HiResCAM, NAFlow, LRP):
        flow, expected = kind(Residual())(made), kind(Residual())(x)
        assert flow.layers == expected.layers


def test_a_part_under_inference_mode_is_a_constant(x: Tensor) -> None:
    class Gated(Base):
        def forward(self, x: Tensor) -> Tensor:
            f = self.c(x)
            with torch.inference_mode():
                gate = torch.sigmoid(self.c2(f))
            return self.fc((f * gate.clone()).mean((2, 3)))

    explained(Gated().eval(), x, ["c"])


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_a_model_wholly_without_gradients_is_refused_by_name(
    context: Callable[[], Any], x: Tensor
) -> None:
    class Deployed(Base):
        def forward(self, x: Tensor) -> Tensor:
            with context():
                return self.fc(self.c(x).mean((2, 3)))

    for explainer in (HiResCAM, NAFlow, LRP):
        with pytest.raises(UnsupportedModel, match=r"output of Deployed back.*torch.no_grad"):
            explainer(Deployed())(x)
    with pytest.raises(UnsupportedModel, match="output of Deployed back"):
        NAFlow(Deployed()).plan(x)


def test_a_reentrant_checkpoint_is_what_it_wraps(x: Tensor) -> None:
    class Reentrant(Base):
        used = True

        def forward(self, x: Tensor) -> Tensor:
            f = self.c(x)
            g = checkpoint(self.c2, f, use_reentrant=True) if self.used else self.c2(f)
            return self.fc(g.mean((2, 3)))

    model = Reentrant().eval()
    found = [kind(model)(x, ONE) for kind in (HiResCAM, NAFlow, LRP)]
    model.used = False
    expected = [kind(model)(x, ONE) for kind in (HiResCAM, NAFlow, LRP)]
    for a, b in zip(found, expected, strict=True):
        assert a.layers == b.layers == ["c", "c2"]
        assert all(torch.equal(a[layer], b[layer]) for layer in a.layers)
    checkpoint(model.c2, model.c(x), use_reentrant=True).sum().backward()  # as before
    assert model.c2.weight.grad is not None


def test_lazy_layers_are_refused_until_they_have_a_shape(x: Tensor) -> None:
    model = nn.Sequential(nn.LazyConv2d(4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                          nn.LazyLinear(3))  # fmt: skip
    with pytest.raises(BadInput, match=r"layer '0' has no weights yet .a lazy layer"):
        HiResCAM(model)(x)
    model(x)
    assert HiResCAM(model)(x).layers == ["0", "1"]


@pytest.mark.parametrize("training", [True, False])
def test_four_threads_share_a_model(training: bool, x: Tensor) -> None:
    model = randomised(Residual()).train(training)
    images = [
        torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(k)) for k in b"0123"
    ]
    kinds = [HiResCAM(model), NAFlow(model, "damped"), LRP(model), GradCAM(model)]
    expected = [kind(i, ONE) for kind, i in zip(kinds, images, strict=True)]
    wrong: list[object] = []
    start = threading.Barrier(4)

    def work(number: int) -> None:
        try:
            start.wait()
            for _ in range(4):
                flow = kinds[number](images[number], ONE)
                for layer, maps in expected[number]:
                    if not torch.equal(flow[layer], maps):
                        wrong.append((number, layer))
        except Exception as error:
            wrong.append(error)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong
    assert all(module.training == training for module in model.modules())


def test_another_threads_forward_is_not_recorded(x: Tensor) -> None:
    """A model that is served while it is explained."""
    model = randomised(Residual()).eval()
    expected = HiResCAM(model)(x, ONE)
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            model(torch.randn(1, 3, 16, 16))

    worker = threading.Thread(target=serve)
    worker.start()
    try:
        for _ in range(5):
            flow = HiResCAM(model)(x, ONE)
            assert flow.layers == expected.layers
            assert all(torch.equal(flow[layer], expected[layer]) for layer in flow.layers)
    finally:
        stop.set()
        worker.join()
