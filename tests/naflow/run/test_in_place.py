"""What is overwritten while a model runs: the maps are those of the same model without."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from middle import ONE, Function, as_plain, model_of, recorded, right
from networks import Aliased
from own_run import compare, own_run
from torch import Tensor, nn
from torch.nn import functional as F

from naflow import NAFlow, UnsupportedModel
from naflow.explainers import LRP, HiResCAM


@pytest.fixture
def x() -> Tensor:
    return torch.randn(2, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def unassigned(function: Callable[[Tensor], object]) -> Function:
    def middle(model: nn.Module, f: Tensor) -> Tensor:
        f = model.conv(f)
        function(f)
        return f

    return middle


def assigned(function: Callable[[Tensor], Tensor]) -> Function:
    return lambda model, f: function(model.conv(f))


IN_PLACE: dict[str, tuple[Callable[[Tensor], object], Callable[[Tensor], Tensor]]] = {
    "F.relu_": (F.relu_, F.relu),
    "torch.relu_": (torch.relu_, F.relu),
    "relu_": (lambda f: f.relu_(), F.relu),
    "inplace=True": (lambda f: F.relu(f, inplace=True), F.relu),
    "inplace by place": (lambda f: F.leaky_relu(f, 0.2, True), lambda f: F.leaky_relu(f, 0.2)),
    "ReLU6": (nn.ReLU6(inplace=True), F.relu6),
    "sigmoid_": (lambda f: f.sigmoid_(), torch.sigmoid),
    "mul_": (lambda f: f.mul_(0.5), lambda f: f * 0.5),
    "clamp_": (lambda f: f.clamp_(-0.3, 0.4), lambda f: f.clamp(-0.3, 0.4)),
    "add_": (lambda f: f.add_(0.3), lambda f: f + 0.3),
}


@pytest.mark.parametrize("name", IN_PLACE)
def test_in_place_without_assignment(name: str, x: Tensor) -> None:
    in_place, plain = IN_PLACE[name]
    as_plain(unassigned(in_place), assigned(plain), x)


def test_operators_in_place(x: Tensor) -> None:
    def middle(model: Any, f: Tensor) -> Tensor:
        g = model.conv(f)
        g += f
        g *= 0.5
        g -= 0.1
        g /= 2
        return g

    as_plain(middle, lambda model, f: ((model.conv(f) + f) * 0.5 - 0.1) / 2, x)


@pytest.mark.parametrize(
    "overwrite", [lambda f: f.relu_(), lambda f: f.mul_(0.5), lambda f: f.sigmoid_()]
)
def test_what_is_made_again_may_be_overwritten(
    overwrite: Callable[[Tensor], Tensor], x: Tensor
) -> None:
    """The result of an addition and of a batch norm is not kept, and made again when asked for."""

    def middle(model: Any, f: Tensor) -> Tensor:
        g = overwrite(model.norm(model.conv(f)))
        h = overwrite(model.conv(g) + g)
        return overwrite(model.norm(h))

    def plain(model: Any, f: Tensor) -> Tensor:
        g = overwrite(model.norm(model.conv(f)).clone())
        h = overwrite((model.conv(g) + g).clone())
        return overwrite(model.norm(h).clone())

    as_plain(middle, plain, x)
    model = model_of(middle)
    calls = own_run(model, x, ONE)["norm"]
    norms = [v for v in recorded(model, x).values if v.modules == ["norm"]]
    assert len(norms) == 2
    for value, seen in zip(norms, calls, strict=True):
        torch.testing.assert_close(value.tensor(), seen.activation)


def test_what_is_overwritten_twice_is_kept_each_time(x: Tensor) -> None:
    def middle(model: Any, f: Tensor) -> Tensor:
        f = model.conv(f)
        f.mul_(2).add_(0.1).neg_()
        f.relu_()
        return f

    as_plain(middle, lambda model, f: (-(model.conv(f) * 2 + 0.1)).relu(), x)
    ran = recorded(model_of(middle), x)
    made = [v for o in ran.operations if o.in_place for v in o.results]
    assert [v.operation.name for v in made] == ["mul", "add", "neg", "relu"]
    torch.testing.assert_close(made[3].tensor(), made[2].tensor().relu())
    torch.testing.assert_close(made[2].tensor(), -made[1].tensor())
    torch.testing.assert_close(made[1].tensor(), made[0].tensor() + 0.1)


def test_an_in_place_layer_may_come_first(x: Tensor) -> None:
    model = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(3, 3, 3), nn.AdaptiveAvgPool2d(1),
                          nn.Flatten()).double()  # fmt: skip
    images = x.clone()
    flow = HiResCAM(model)(images, ONE)
    assert torch.equal(images, x) and flow.layers == ["0", "1"]
    assert compare(flow, own_run(model, x, ONE)) == ["0", "1"]


def test_an_alias_is_overwritten_too(x: Tensor) -> None:
    model = Aliased().double().eval()
    flow = HiResCAM(model)(x, ONE)
    assert flow.layers == ["stem", "relu", "add"]
    assert compare(flow, own_run(model, x, ONE), to=1e-9) == ["stem", "relu"]


VIEWS: dict[str, tuple[Function, Function]] = {
    "half of the channels": (
        unassigned(lambda f: f[:, :3].relu_()),
        assigned(lambda f: torch.cat([f[:, :3].relu(), f[:, 3:]], 1)),
    ),
    "narrow": (
        unassigned(lambda f: f.narrow(1, 3, 3).mul_(2)),
        assigned(lambda f: torch.cat([f[:, :3], 2 * f[:, 3:]], 1)),
    ),
    "set to a number": (
        unassigned(lambda f: f.__setitem__((slice(None), 2), 0.3)),
        assigned(
            lambda f: torch.cat([f[:, :2], torch.full_like(f[:, :1].detach(), 0.3), f[:, 3:]], 1)
        ),
    ),
    "set to another part": (
        unassigned(lambda f: f.__setitem__((slice(None), slice(3)), f[:, 3:] * 2)),
        assigned(lambda f: torch.cat([2 * f[:, 3:], f[:, 3:]], 1)),
    ),
    "flattened": (
        unassigned(lambda f: f.view(len(f), -1).clamp_(min=-0.1)),
        assigned(lambda f: f.clamp(min=-0.1)),
    ),
}


@pytest.mark.parametrize("name", VIEWS)
def test_in_place_on_a_view(name: str, x: Tensor) -> None:
    """The gradient is the model's own; relevance through what is seen of it in the autograd graph
    alone is refused by name, never passed over."""
    in_place, plain = VIEWS[name]
    right(in_place, x)
    if name.startswith("set"):
        as_plain(in_place, plain, x)
        return
    found, wanted = (NAFlow(model_of(middle))(x, ONE) for middle in (in_place, plain))
    for layer in ("stem", "head"):
        torch.testing.assert_close(found[layer], wanted[layer], rtol=1e-6, atol=1e-9)
    assert all(m.isfinite().all() for _, m in NAFlow(model_of(in_place), "damped")(x, ONE))
    with pytest.raises(UnsupportedModel, match=r"calls 'torch::autograd::CopySlices'.*no rule"):
        LRP(model_of(in_place))(x, ONE)


HIDDEN: dict[str, Callable[[Tensor], object]] = {
    "data": lambda f: f.data.relu_(),
    "detached": lambda f: f.detach().clamp_(min=-0.1),
    "detached, of a view": lambda f: f[:, :3].detach().zero_(),
    "numpy": lambda f: f.detach().numpy().fill(0.5),
    "an array of numpy": lambda f: np.asarray(f.detach()).fill(0.5),
    "dlpack": lambda f: torch.from_dlpack(f.detach()).zero_(),
}


@pytest.mark.parametrize("name", HIDDEN)
def test_what_is_overwritten_behind_the_autograd_graph(name: str, x: Tensor) -> None:
    """A layer's map is of what the layer gave, also where that is made again."""

    def middle(model: Any, f: Tensor) -> Tensor:
        f = model.norm(model.conv(f) * 1)
        HIDDEN[name](f)
        f = model.conv(f * 1)
        HIDDEN[name](f)
        return f * 1

    right(middle, x)
    assert HiResCAM(model_of(middle))(x, ONE).layers[1:6] == ["conv", "mul", "norm", "mul#2",
                                                             "conv#2"]  # fmt: skip


def test_out_is_what_is_overwritten(x: Tensor) -> None:
    """And not the first argument, by a method that makes every call itself."""

    def middle(model: Any, f: Tensor) -> Tensor:
        f, out = model.conv(f), torch.empty_like(f)
        with torch.no_grad():
            torch.add(f, 1, out=out)
        return f * out

    as_plain(middle, lambda model, f: model.conv(f) * (model.conv(f).detach() + 1), x)
    model = model_of(middle)
    assert torch.equal(LRP(model)(x, ONE).output, model(x).detach())


def test_a_buffer_that_is_filled(x: Tensor) -> None:
    def middle(model: Any, f: Tensor) -> Tensor:
        out = torch.zeros(len(f), 12, *f.shape[2:], dtype=f.dtype)
        out[:, :6] = model.conv(f)
        out[:, 6:] = f.relu()
        return out[:, :6] + out[:, 6:]

    def joined(model: Any, f: Tensor) -> Tensor:
        out = torch.cat([model.conv(f), f.relu()], 1)
        return out[:, :6] + out[:, 6:]

    right(middle, x)
    for explainer in (NAFlow, lambda m: NAFlow(m, "damped", tol=1e-12, max_iterations=3000)):
        found = explainer(model_of(middle))(x, ONE)
        wanted = explainer(model_of(joined))(x, ONE)
        assert found.layers == ["stem", "setitem#2", "add", "head", "relu#2"]
        for layer in ("stem", "add", "head"):
            torch.testing.assert_close(found[layer], wanted[layer], rtol=1e-6, atol=1e-9)


def test_a_model_that_breaks_its_own_gradient_is_told_so(x: Tensor) -> None:
    """ReLU's gradient needs its output, and that is overwritten: PyTorch cannot go back either."""
    model = model_of(lambda model, f: model.conv(f).relu_().mul_(2))
    images = x.clone().requires_grad_()
    value = model(images)[:, 1].sum()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        torch.autograd.grad(value, images)
    for explainer in (HiResCAM(model), NAFlow(model)):
        with pytest.raises(UnsupportedModel, match="overwrites in place what its own gradient"):
            explainer(x, ONE)
