"""The reverse pass that goes down as it is asked, against hooks on the model's own run."""

from __future__ import annotations

import weakref
from copy import deepcopy

import pytest
import torch
from networks import Residual, randomised
from own_run import own_run
from torch import Tensor, nn

from naflow import BadInput, NAFlow, NotFinite, UnsupportedModel
from naflow.explainers import GradCAM, GradCAMPlusPlus, HiResCAM
from naflow.reverse.abandon import Rule, disputed
from naflow.reverse.record import Record, record
from naflow.run.preserve import preserved
from naflow.scores import ClassLogit

FIRST = ClassLogit(0)


@pytest.fixture
def images() -> Tensor:
    return torch.rand(2, 3, 16, 16, dtype=torch.float64)


def recorded(
    model: nn.Module, images: Tensor, abandon: Rule | None = None, detail: bool = False
) -> Record:
    with preserved(model):
        return record(model, images, FIRST, abandon=abandon, detail=detail)


class Traced(Residual):
    """The same with modules for its sums, so that hooks see all of it."""

    def __init__(self) -> None:
        super().__init__()
        for block in self.layer1:
            block.add = Sum()
            block.forward = lambda x, b=block: b.relu(
                b.add(b.bn2(b.conv2(b.relu(b.bn1(b.conv1(x))))), x)
            )


class Sum(nn.Module):
    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        a += b
        return a


@pytest.mark.parametrize("detail", [False, True])
def test_every_importance_is_the_gradient(images: Tensor, detail: bool) -> None:
    model = randomised(Traced()).double().eval()
    found = recorded(model, images, detail=detail)
    layers = found.layers
    points = list(found.descend())
    assert points[-1].name == "input" and not points[-1].feature_map and points[-1].unit is None
    x = images.clone().requires_grad_()
    torch.testing.assert_close(
        points[-1].importance, torch.autograd.grad(model(x)[:, 0].sum(), x)[0]
    )
    met = [layer for point in points for layer in point.maps]
    assert [layer.name for layer in met] == layers[::-1]
    assert len(met) == (18 if detail else 8)
    calls = own_run(model, images, FIRST)
    for layer in met:
        seen = calls[layer.name][0]
        torch.testing.assert_close(layer.importance, seen.gradient)
        torch.testing.assert_close(layer.activation, seen.activation)


class Sines(nn.Module):
    """Four layers, one after the other."""

    def forward(self, x: Tensor) -> Tensor:
        return x.sin().sin().sin().sin().sum((2, 3))


def test_it_goes_no_further_than_asked_and_frees_what_it_passed() -> None:
    found = recorded(Sines(), torch.rand(1, 2, 3, 3))
    kept = [weakref.ref(unit.result._held) for unit in found.chain.units]

    def alive() -> list[bool]:
        return [x() is not None for x in kept]

    assert alive() == [True] * 4
    descent = found.descend()
    names = []
    for number in (4, 3, 2, 1):
        names.append(next(descent).name)
        assert alive() == [n <= number + 1 for n in range(1, 5)]  # the one above is to be inverted
    assert names == ["sin#4", "sin#3", "sin#2", "sin"]
    assert next(descent).name == "input"
    assert next(descent, None) is None
    assert not any(alive())


def test_nan_is_named() -> None:
    class Roots(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            y = (x * 1).sqrt()  # of infinite slope at 0
            return (y * 1).sum((2, 3))

    x = torch.zeros(2, 1, 2, 2)
    x[1] = 1
    descent = recorded(Roots(), x).descend()
    assert [next(descent).name for _ in range(2)] == ["mul#2", "sqrt"]
    with pytest.raises(NotFinite, match=r"gradient at layer 'mul'.*images \[0\]"):
        next(descent)


def test_a_map_that_overflows_is_named_when_the_layers_above_are_gone(images: Tensor) -> None:
    """A square of its gradient, which Grad-CAM++ takes, is infinite in single precision."""
    model = nn.Sequential(*(nn.Conv2d(i, 4, 3) for i in (3, 4, 4, 4)), nn.AdaptiveAvgPool2d(1),
                          nn.Flatten())  # fmt: skip
    with torch.no_grad():
        for parameter in model[0].parameters():
            parameter *= 1e-25
        model[1].weight *= 1e25
    images = images.float()
    assert HiResCAM(model)(images, FIRST).layers == ["0", "1", "2", "3"]
    with pytest.raises(NotFinite, match=r"map of layer '0' is NaN or infinite for images \[0, 1\]"):
        GradCAMPlusPlus(model)(images, FIRST)


class Skipping(nn.Module):
    """Three convolutions; the way round the second is a way round its layer."""

    def __init__(self, *, detached: bool = False) -> None:
        super().__init__()
        self.a, self.b, self.c = (nn.Conv2d(i, 4, 3, padding=1) for i in (3, 4, 4))
        self.detached = detached

    def forward(self, x: Tensor) -> Tensor:
        a = self.a(x)
        b = self.b(a)
        return (self.c(b.detach() if self.detached else b + a) ** 2).mean((2, 3))


@pytest.mark.parametrize("abandon", [None, disputed])
def test_ways_round_count(images: Tensor, abandon: Rule | None) -> None:
    """A block passes down what comes through it and what comes round it."""
    model = Skipping().double()
    met = {layer.name: layer for layer in recorded(model, images, abandon).descend()}
    assert list(met) == ["pow", "c", "add", "a", "input"]

    def rule(alpha: Tensor, x: Tensor) -> Tensor:
        return abandon(alpha, x).importance if abandon else alpha

    a, c = (met[name].activation.clone().requires_grad_() for name in ("a", "c"))
    top = c**2
    alpha = rule(torch.autograd.grad(top[:, 0].mean((1, 2)).sum(), top)[0], top.detach())
    alpha = rule(torch.autograd.grad(top, c, alpha)[0], c.detach())
    torch.testing.assert_close(met["c"].importance, alpha)
    total = model.b(a) + a
    alpha = rule(torch.autograd.grad(model.c(total), total, alpha)[0], total.detach())
    torch.testing.assert_close(met["add"].importance, alpha)
    total = model.b(a) + a
    alpha = rule(torch.autograd.grad(total, a, alpha)[0], a.detach())
    torch.testing.assert_close(met["a"].importance, alpha)


@pytest.mark.parametrize("preset", ["selective", "damped"])
def test_a_last_layer_that_the_score_does_not_read_is_refused(images: Tensor, preset: str) -> None:
    model = Skipping().double()
    with torch.no_grad():
        model.c.weight[0], model.c.bias[0] = 0, 0  # and its square has no slope
    with pytest.raises(BadInput, match=r"images \[0, 1\] has zero gradient everywhere at 'c'"):
        NAFlow(model, preset, contrast=False, last="c")(images, FIRST)


@pytest.mark.parametrize("kind", [NAFlow, HiResCAM])
def test_below_a_detached_layer_nothing_leads_to_the_images(images: Tensor, kind: type) -> None:
    with pytest.raises(UnsupportedModel, match="No gradient leads from the output of Skipping"):
        kind(Skipping(detached=True).double())(images)


def test_a_record_can_be_gone_down_once(images: Tensor) -> None:
    model = randomised(Residual()).double().eval()
    found = recorded(model, images)
    GradCAM(model).explain(found, ["layer1.0"], ())
    with pytest.raises(BadInput, match="used up by a flow: record the run again"):
        found.at("layer1.1")
    with pytest.raises(BadInput, match="used up"):
        found.descend()
    again = recorded(model, images)
    with pytest.raises(BadInput, match=r"no layer 'layer9'"):
        again.at("layer9")  # which uses nothing up
    at = again.at("relu")
    assert at.name == "relu" and at.importance.any()


def test_an_importance_leaves_the_graph(images: Tensor) -> None:
    model = randomised(Residual()).double().eval()
    before = deepcopy(model.state_dict())
    for layer in recorded(model, images, disputed, detail=True).descend():
        assert not layer.importance.requires_grad and not layer.activation.requires_grad
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
