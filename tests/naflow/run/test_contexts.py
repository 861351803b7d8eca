"""A model explained inside wrappers, modes and threads: as if they were not there."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from networks import Residual, randomised
from own_run import compare, own_run
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from naflow import BadInput, NAFlow, UnsupportedModel
from naflow.explainers import LRP, GradCAM, HiResCAM
from naflow.scores import ClassLogit

ONE = ClassLogit(1)


class Base(nn.Module):
    """Two convolutions and a head."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.c, self.c2 = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, padding=1)
        self.fc = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.c2(self.c(x)).mean((2, 3)))


@pytest.fixture
def x() -> Tensor:
    return torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))


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
    model = Base().eval()
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

    model = Gated().eval()
    assert compare(HiResCAM(model)(x, ONE), own_run(model, x, ONE)) == ["c"]
    assert NAFlow(model, "damped")(x, ONE).layers[0] == "c"


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
