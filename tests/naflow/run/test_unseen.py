"""Code of which PyTorch shows only the results is linked by the autograd graph, never dropped."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from middle import ONE, Function, model_of, recorded, right
from torch import Tensor, nn
from torch.nn import functional as F

from naflow import NAFlow, UnsupportedModel
from naflow.explainers import LRP, HiResCAM


@pytest.fixture
def x() -> Tensor:
    return torch.randn(2, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


class Straight(torch.autograd.Function):
    """The sign, with the gradient of tanh."""

    @staticmethod
    def forward(ctx: Any, a: Tensor) -> Tensor:
        ctx.save_for_backward(a)
        return a.sign()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (a,) = ctx.saved_tensors
        return gradient * (1 - a.tanh() ** 2)


class Pair(torch.autograd.Function):
    """Two results of two inputs."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(a, b)
        return a * b, a + b

    @staticmethod
    def backward(ctx: Any, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        a, b = ctx.saved_tensors
        return first * b + second, first * a + second


@torch.jit.script
def scripted(f: Tensor) -> Tensor:
    return torch.relu(f) * torch.sigmoid(f)


UNSEEN: dict[str, tuple[Function, str]] = {
    "autograd.Function": (lambda model, f: Straight.apply(model.conv(f)), "Straight"),
    "in a product": (lambda model, f: Straight.apply(f) * model.conv(f).abs(), "Straight"),
    "of two": (lambda model, f: sum(Pair.apply(f, model.conv(f))), "Pair"),
    "scripted": (lambda model, f: scripted(model.conv(f)), ""),
    "twice": (lambda model, f: Straight.apply(2 * Straight.apply(model.conv(f))), "Straight"),
}


@pytest.mark.parametrize("name", UNSEEN)
def test_unseen_code_is_linked_by_the_autograd_graph(name: str, x: Tensor) -> None:
    """Its gradient counts, and relevance through it is refused by name."""
    middle, called = UNSEEN[name]
    right(middle, x)
    model = model_of(middle)
    opaque = [o for o in recorded(model, x).operations if o.opaque]
    assert opaque and all(called in o.name for o in opaque)
    with pytest.raises(UnsupportedModel, match=f"calls '.*{called}.*no rule.*gradients only"):
        LRP(model)(x, ONE)
    for preset in ("selective", "damped", "proximal"):
        flow = NAFlow(model, preset)(x, ONE)
        assert all(m.isfinite().all() for _, m in flow)


def test_unseen_code_is_inverted_by_its_own_gradient(x: Tensor) -> None:
    """As the same operation that is seen: J from the gradient's gradient, where it has one."""

    class Swish(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, a: Tensor) -> Tensor:
            ctx.save_for_backward(a)
            return a * a.sigmoid()

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Tensor:
            (a,) = ctx.saved_tensors
            s = a.sigmoid()
            return gradient * (s + a * s * (1 - s))

    found = NAFlow(model_of(lambda m, f: Swish.apply(m.conv(f)) + f), "damped", tol=1e-12,
                   max_iterations=3000)(x, ONE)  # fmt: skip
    wanted = NAFlow(model_of(lambda m, f: F.silu(m.conv(f)) + f), "damped", tol=1e-12,
                    max_iterations=3000)(x, ONE)  # fmt: skip
    for layer in ("stem", "add", "head"):
        torch.testing.assert_close(found[layer], wanted[layer], rtol=1e-6, atol=1e-9)


@torch.jit.script
def scripted_skip(f: Tensor, g: Tensor) -> Tensor:
    return f * torch.sigmoid(g) + g


SKIPS: dict[str, tuple[Function, Function]] = {
    "scripted": (
        lambda model, f: scripted_skip(f, model.conv(f)),
        lambda model, f: f * model.conv(f).sigmoid() + model.conv(f),
    ),
    "of two": (
        lambda model, f: sum(Pair.apply(f, model.conv(f))),
        lambda model, f: f * model.conv(f) + f + model.conv(f),
    ),
    "one after the other": (
        lambda model, f: Pair.apply(model.norm(f), Pair.apply(f, model.conv(f))[1])[0],
        lambda model, f: model.norm(f) * (f + model.conv(f)),
    ),
}


@pytest.mark.parametrize("name", SKIPS)
def test_unseen_code_of_a_value_and_what_was_made_from_it(name: str, x: Tensor) -> None:
    """Its gradient at either is of that one alone: the way through the other is the other's."""
    found, wanted = (
        NAFlow(model_of(middle), "damped", tol=1e-12, max_iterations=3000)(x, ONE)
        for middle in SKIPS[name]
    )
    for layer in ("stem", "head"):
        torch.testing.assert_close(found[layer], wanted[layer], rtol=1e-6, atol=1e-9)


def test_a_whole_scripted_module(x: Tensor) -> None:
    class Gate(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(6, 6, 1)

        def forward(self, f: Tensor) -> Tensor:
            return f * torch.sigmoid(self.conv(f))

    gate = torch.jit.script(Gate().double().eval())
    right(lambda model, f: gate(f), x)
    model = model_of(lambda model, f: gate(f))
    with pytest.raises(UnsupportedModel, match="no rule"):
        LRP(model)(x, ONE)


@torch.jit.script
def scripted_in_place(f: Tensor) -> Tensor:
    return f.mul_(2.0)


def test_what_unseen_code_overwrote_is_refused(x: Tensor) -> None:
    """What the layer gave is gone: never what is there now in its place."""
    model = model_of(lambda model, f: scripted_in_place(model.conv(f)))
    for explainer in (HiResCAM(model), NAFlow(model), LRP(model)):
        with pytest.raises(UnsupportedModel, match="output of 'conv' is overwritten in place"):
            explainer(x, ONE)


def test_a_gradient_is_part_of_the_model(x: Tensor) -> None:
    """As of the same written out: conv^T conv f. It cannot be called again, on other tensors."""

    def middle(model: Any, f: Tensor) -> Tensor:
        energy = model.conv(f).square().sum() / 2
        return torch.autograd.grad(energy, f, create_graph=True)[0] + f

    def plain(model: Any, f: Tensor) -> Tensor:
        return F.conv_transpose2d(model.conv(f), model.conv.weight, padding=1) + f

    right(middle, x)
    for explainer in (NAFlow, lambda m: NAFlow(m, "damped", tol=1e-12, max_iterations=3000)):
        found, wanted = explainer(model_of(middle))(x, ONE), explainer(model_of(plain))(x, ONE)
        for layer in ("stem", "add", "head"):
            torch.testing.assert_close(found[layer], wanted[layer], rtol=1e-6, atol=1e-9)


def test_what_a_function_of_its_own_overwrote_is_refused(x: Tensor) -> None:
    class Doubled(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, a: Tensor) -> Tensor:
            ctx.mark_dirty(a)
            return a.mul_(2)

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Tensor:
            return 2 * gradient

    model = model_of(lambda model, f: Doubled.apply(model.conv(f)))
    with pytest.raises(UnsupportedModel, match="output of 'mul' is overwritten in place"):
        HiResCAM(model)(x, ONE)


def test_a_custom_operator(x: Tensor) -> None:
    @torch.library.custom_op("naflow_tests::twice", mutates_args=())
    def twice(f: Tensor) -> Tensor:
        return 2 * f

    twice.register_autograd(lambda ctx, gradient: 2 * gradient)
    right(lambda model, f: twice(model.conv(f)), x)
    with pytest.raises(UnsupportedModel, match=r"twice.*no rule"):
        LRP(model_of(lambda model, f: twice(model.conv(f))))(x, ONE)


def test_hooks_that_wrap_a_module_in_functions(x: Tensor) -> None:
    """A full backward hook makes PyTorch put functions of its own round the module."""
    model = model_of(lambda model, f: model.conv(f).relu())
    expected = HiResCAM(model)(x, ONE)
    seen = []
    model.conv.register_full_backward_hook(lambda m, i, o: seen.append(o[0]))
    found = HiResCAM(model)(x, ONE)
    torch.testing.assert_close(found["stem"], expected["stem"])
    torch.testing.assert_close(found["head"], expected["head"])
    assert seen
