"""What a tape sees of a run: tensors that come and go, constants, and what is random."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from middle import ONE, as_plain, model_of, recorded, right
from networks import Aliased, Functional, Residual, randomised
from own_run import compare, own_run
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from naflow import NAFlow, UnsupportedModel
from naflow.explainers import LRP, HiResCAM


@pytest.fixture
def x() -> Tensor:
    return torch.randn(2, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


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


def _sparse(model: Any, f: Tensor) -> Tensor:
    weight = torch.eye(6, dtype=f.dtype).to_sparse()
    weight.mul_(2)
    return torch.einsum("dc,bchw->bdhw", weight.to_dense(), model.conv(f))


def _inside_func(model: Any, f: Tensor) -> Tensor:
    start = torch.ones(6, 1, 1, dtype=f.dtype)
    slope = torch.func.grad(lambda t: t.clone().mul_(2).square().sum())(start)
    scaled = torch.func.vmap(lambda t: t.clone().add_(1))(start)
    return model.conv(f) * slope * scaled


@pytest.mark.parametrize("middle", [_sparse, _inside_func])
def test_constants_without_a_storage_of_their_own(middle: Any, x: Tensor) -> None:
    right(middle, x)
    assert all(m.isfinite().all() for _, m in NAFlow(model_of(middle))(x, ONE))


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
        return torch.cat([a + e, b * largest], 1) + torch.cat([c, d, values, first[:, None]], 1)

    right(middle, x)


def test_results_with_names_are_arguments_again(x: Tensor) -> None:
    def middle(model: Any, f: Tensor) -> Tensor:
        f = model.conv(f)
        return f * torch.cat(f.aminmax(dim=1, keepdim=True), 1).mean(1, keepdim=True)

    right(middle, x)
    flow = HiResCAM(model_of(middle))(x, ONE)
    assert flow.layers == ["stem", "conv", "mul", "head", "relu"]
    (joined,) = (o for o in recorded(model_of(middle), x).operations if o.name == "cat")
    assert [v.operation.name for v in joined.inputs] == ["aminmax", "aminmax"]


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
