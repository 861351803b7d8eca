"""What a tape sees of a run: in-place operations, views, unseen code, tensors that come and go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from networks import Aliased, Functional, Residual, randomised
from own_run import compare, own_run
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from naflow import NAFlow, UnsupportedModel
from naflow.explainers import LRP, HiResCAM
from naflow.run.preserve import preserved
from naflow.run.run import Run, run
from naflow.scores import ClassLogit

ONE = ClassLogit(1)
Function = Callable[["Middle", Tensor], Tensor]


class Middle(nn.Module):
    """A stem, something in the middle, and a head: three modules and a function."""

    def __init__(self, middle: Function) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.head = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 5, 3, padding=1)
        self.conv = nn.Conv2d(6, 6, 3, padding=1)
        self.norm = randomised(nn.BatchNorm2d(6))
        self.fc = nn.Linear(5, 3)
        self.middle = middle

    def forward(self, x: Tensor) -> Tensor:
        x = self.middle(self, self.stem(x))
        return self.fc(self.head(x).relu().mean((2, 3)))


@pytest.fixture
def x() -> Tensor:
    return torch.randn(2, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def model_of(middle: Function) -> nn.Module:
    return Middle(middle).double().eval()


def recorded(model: nn.Module, x: Tensor) -> Run:
    with preserved(model):
        return run(model, x)


def right(middle: Function, x: Tensor) -> None:
    """HiResCAM at every module is that of hooks on the run; `damped` gives what it must."""
    model = model_of(middle)
    flow = HiResCAM(model)(x, ONE)
    compared = compare(flow, own_run(model, x, ONE), to=1e-9)
    assert compared[0] == "stem" and compared[-1] == "head"
    assert torch.equal(flow.score, model(x)[:, 1].detach())


def as_plain(middle: Function, plain: Function, x: Tensor, *, relevance: bool = True) -> None:
    """The same maps, of every method, as of the same model written out of place."""
    right(middle, x)
    made, expected = model_of(middle), model_of(plain)
    kinds = [HiResCAM, *(LRP for _ in range(relevance))]
    explain = [*kinds, NAFlow, lambda m: NAFlow(m, "damped", tol=1e-12, max_iterations=3000)]
    for kind in explain:
        found, wanted = kind(made)(x, ONE), kind(expected)(x, ONE)
        for layer in ("stem", "head"):
            torch.testing.assert_close(found[layer], wanted[layer], rtol=1e-6, atol=1e-9)


# --- in place ------------------------------------------------------------------------------------


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


# --- code that is not seen -----------------------------------------------------------------------


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


# --- tensors come and go -------------------------------------------------------------------------


def test_identities_are_used_again(x: Tensor) -> None:
    """Tensors die, and new ones get their address: none is taken for the dead one."""

    def middle(model: Any, f: Tensor) -> Tensor:
        f = model.conv(f)
        for number in range(20):
            torch.randn(4, 6, 8, 8)  # no data, at an address where data were
            f = (f * 1.01 + 0.01 * number).relu() - 0.01 * number
        return f

    right(middle, x)
    ran = recorded(model_of(middle), x)
    assert [o.name for o in ran.operations[2:-4]] == ["mul", "add", "relu", "sub"] * 20
    for a, b in zip(ran.operations[2:-4], ran.operations[3:-4], strict=False):
        assert b.inputs == a.results


def test_constants_are_no_data(x: Tensor) -> None:
    def middle(model: Any, f: Tensor) -> Tensor:
        weight = model.conv.weight.flatten(1).softmax(1).view_as(model.conv.weight)
        noise = torch.ones(6, 1, 1, dtype=f.dtype) * 0.5 + f.detach().mean() * 0
        return F.conv2d(f, weight, padding=1) * noise

    right(middle, x)
    names = [o.name for o in recorded(model_of(middle), x).operations]
    assert names == ["conv2d", "conv2d", "mul", "conv2d", "relu", "mean", "linear"]


def test_arguments_in_another_order_and_by_name(x: Tensor) -> None:
    def middle(model: Any, f: Tensor) -> Tensor:
        f = F.conv2d(padding=1, weight=model.conv.weight, input=f, bias=model.conv.bias)
        norm = model.norm
        f = F.batch_norm(bias=norm.bias, weight=norm.weight, running_var=norm.running_var,
                         running_mean=norm.running_mean, input=f)  # fmt: skip
        f = torch.add(other=f, input=f, alpha=0.5)
        return F.max_pool2d(stride=1, padding=1, kernel_size=3, input=F.relu(input=f))

    def plain(model: Any, f: Tensor) -> Tensor:
        f = model.norm(model.conv(f))
        return F.max_pool2d((f + 0.5 * f).relu(), 3, 1, 1)

    as_plain(middle, plain, x)


def test_results_that_are_tuples(x: Tensor) -> None:
    def middle(model: Any, f: Tensor) -> Tensor:
        a, b = model.conv(f).chunk(2, 1)
        c, d, e = f.split([1, 2, 3], dim=1)
        largest = f.max(dim=1, keepdim=True).values
        values, _ = f.topk(2, dim=1)
        first, *_ = f.unbind(1)
        return torch.cat([a + e, b * largest], 1) + torch.cat(
            [*[c, d, values, torch.stack([first, first], 1)][:3], values[:, :1]], 1
        )

    right(middle, x)


def test_a_module_that_is_used_twice(x: Tensor) -> None:
    middle = lambda model, f: model.conv(model.conv(f).relu()).relu()  # noqa: E731
    right(middle, x)
    model = model_of(middle)
    flow = HiResCAM(model)(x, ONE)
    assert flow.layers == ["stem", "conv", "relu", "conv#2", "relu#2", "head", "relu#3"]
    first, second = own_run(model, x, ONE)["conv"]
    torch.testing.assert_close(flow["conv"], first.hirescam)
    torch.testing.assert_close(flow["conv#2"], second.hirescam)


@pytest.mark.parametrize(
    "reparametrised",
    [
        parametrizations.weight_norm,
        parametrizations.spectral_norm,
        pytest.param(torch.nn.utils.spectral_norm, marks=pytest.mark.filterwarnings("ignore")),
        pytest.param(torch.nn.utils.weight_norm, marks=pytest.mark.filterwarnings("ignore")),
    ],
    ids=["weight_norm", "spectral_norm", "spectral_norm by hooks", "weight_norm by hooks"],
)
def test_weights_that_are_computed(reparametrised: Callable[..., nn.Module], x: Tensor) -> None:
    """The same maps as of the same weights at rest."""
    made = model_of(lambda model, f: model.conv(f).relu())
    reparametrised(made.conv)
    with torch.no_grad():
        made.train()(x)  # power iterations
        made.eval()(x)
    rest = model_of(lambda model, f: model.conv(f).relu())
    rest.load_state_dict(
        {k: v for k, v in made.state_dict().items() if k in rest.state_dict()}, strict=False
    )
    with torch.no_grad():
        rest.conv.weight.copy_(made.conv.weight)
        rest.conv.bias.copy_(made.conv.bias)
    for kind in (HiResCAM, NAFlow, LRP, lambda m: NAFlow(m, "damped")):
        found, expected = kind(made)(x, ONE), kind(rest)(x, ONE)
        assert found.layers == expected.layers == ["stem", "conv", "relu", "head", "relu#2"]
        for layer in found.layers:
            torch.testing.assert_close(found[layer], expected[layer], rtol=1e-6, atol=1e-10)


# --- what is random ------------------------------------------------------------------------------


def test_dropout_that_is_always_on(x: Tensor) -> None:
    """The run that happened is explained; what solves refuses it for what it is."""
    model = model_of(lambda model, f: F.dropout(model.conv(f).relu(), 0.5, training=True))
    torch.manual_seed(3)
    calls = own_run(model, x, ONE)
    torch.manual_seed(3)
    flow = HiResCAM(model)(x, ONE)
    assert flow.layers == ["stem", "conv", "relu", "dropout", "head", "relu#2"]
    assert compare(flow, calls, to=1e-9) == ["stem", "conv", "head"]
    assert all(m.isfinite().all() for _, m in NAFlow(model)(x, ONE))
    with pytest.raises(UnsupportedModel, match=r"'dropout' gave another result.*is random"):
        NAFlow(model, "damped")(x, ONE)
    for inplace in (False, True):
        model = model_of(lambda m, f, i=inplace: F.dropout(m.conv(f).relu(), 0.5, True, i))
        kept = LRP(model)(x, ONE).conservation
        assert (kept["dropout"] > 0.9).all()  # the head loses what it sees zeros of
        for layer in ("stem", "conv", "relu"):
            torch.testing.assert_close(kept[layer], kept["dropout"])


def test_dropout_in_evaluation_mode_leaves_no_trace(x: Tensor) -> None:
    for inplace in (False, True):
        drop = nn.Dropout2d(0.5, inplace=inplace).eval()
        for kind in (HiResCAM, NAFlow, LRP):
            flow = kind(model_of(lambda model, f, d=drop: d(model.conv(f))))(x, ONE)
            assert flow.layers == ["stem", "conv", "head", "relu"]


# --- the tape itself -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Residual, Functional, Aliased])
def test_every_value_is_what_its_operation_gives_again(kind: type[nn.Module]) -> None:
    model = randomised(kind()).double().eval()
    ran = recorded(model, torch.randn(2, 3, 16, 16, dtype=torch.float64))
    with torch.no_grad():
        for operation in ran.operations:
            made = operation.again(lambda value: value.tensor())
            for value, tensor in zip(operation.results, made, strict=True):
                torch.testing.assert_close(value.tensor(), tensor)
                assert value.operation is operation and value.shape == tensor.shape
    assert [v.number for v in ran.values] == list(range(len(ran.values)))
    torch.testing.assert_close(ran.ends()[0].tensor(), ran.output.detach())


def test_nothing_of_the_tape_stays(x: Tensor) -> None:
    from torch.nn.modules import module

    before = len(module._global_forward_hooks), len(module._global_forward_pre_hooks)
    HiResCAM(model_of(lambda model, f: f))(x)

    def broken(model: nn.Module, f: Tensor) -> Tensor:
        raise ValueError("no")

    with pytest.raises(Exception, match="ValueError: no"):
        HiResCAM(model_of(broken))(x)
    assert (len(module._global_forward_hooks), len(module._global_forward_pre_hooks)) == before
    assert torch.overrides._get_current_function_mode() is None


def test_scopes_are_right_after_a_module_that_failed(x: Tensor) -> None:
    class Careful(nn.Module):
        def forward(self, f: Tensor) -> Tensor:
            raise ValueError("not today")

    careful = Careful()

    def middle(model: Any, f: Tensor) -> Tensor:
        try:
            return model.careful(f)
        except ValueError:
            return model.conv(f) + 1

    model = model_of(middle)
    model.careful = careful
    assert HiResCAM(model)(x).layers == ["stem", "conv", "add", "head", "relu"]
