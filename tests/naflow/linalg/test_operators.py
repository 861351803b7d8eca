"""Every operator against its dense self, and its transpose against it, in float64."""

import gc
import weakref

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from naflow.linalg import Convolution, Jacobian, LinearOperator, Matrix, RowSelection

CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def assert_adjoint(operator: LinearOperator) -> None:
    """<J v, u> = <v, J^T u> in every sample."""
    v, u = draw(*operator.input_shape, seed=1), draw(*operator.output_shape, seed=2)
    jv, jtu = operator.mv(v), operator.rmv(u)
    assert jv.shape == operator.output_shape
    assert jtu.shape == operator.input_shape
    left, right = (jv * u).flatten(1).sum(1), (v * jtu).flatten(1).sum(1)
    torch.testing.assert_close(left, right, rtol=1e-10, atol=1e-10)


def dense_jacobian(f, x: torch.Tensor) -> torch.Tensor:
    """(B, m, n), one sample at a time, by torch's own reverse mode."""
    rows = [
        torch.func.jacrev(lambda a: f(a[None])[0].flatten(), chunk_size=1)(sample) for sample in x
    ]
    return torch.stack(rows).flatten(2)


@st.composite
def geometries(draw_value):
    rank = draw_value(st.integers(1, 3))

    def each(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw_value(st.integers(low, high)) for _ in range(rank))

    kernel, dilation, padding = each(1, 4), each(1, 2), each(0, 3)
    size = tuple(
        max(1, d * (k - 1) + 1 - 2 * p) + draw_value(st.integers(0, 4))
        for k, d, p in zip(kernel, dilation, padding, strict=True)
    )
    groups = draw_value(st.sampled_from([1, 2]))
    inputs, outputs = groups * draw_value(st.integers(1, 2)), groups * draw_value(st.integers(1, 2))
    stride = each(1, 4)
    if draw_value(st.integers(0, 3)) == 0:
        stride, padding = (1,) * rank, "same"
    return (
        (outputs, inputs // groups, *kernel),
        (2, inputs, *size),
        {
            "stride": stride,
            "padding": padding,
            "dilation": dilation,
            "groups": groups,
        },
    )


@settings(max_examples=150, deadline=None)
@given(geometries())
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
def test_convolution_is_torchs_and_has_the_exact_adjoint(geometry):
    weight_shape, input_shape, options = geometry
    weight = draw(*weight_shape)
    operator = Convolution(weight, input_shape, **options)
    v = draw(*input_shape, seed=1)
    expected = CONV[len(options["dilation"])](v, weight, **options)
    torch.testing.assert_close(operator.mv(v), expected, rtol=1e-10, atol=1e-10)
    assert_adjoint(operator)


@pytest.mark.parametrize(
    "options",
    [
        {"padding": 1},
        {"stride": 2, "padding": 1},
        {"stride": 2},  # leaves the last row and column unread
        {"padding": "same", "dilation": 2},
        {"padding": "valid", "groups": 2},
    ],
)
def test_convolution_as_matrix_equals_jacrev(options):
    weight = draw(4, 4 // options.get("groups", 1), 3, 3)
    x = draw(2, 4, 6, 6, seed=1)
    dense = Convolution(weight, x.shape, **options).as_matrix()
    torch.testing.assert_close(dense, dense_jacobian(lambda a: F.conv2d(a, weight, **options), x))


@pytest.mark.parametrize(
    ("weight_shape", "input_shape", "options", "message"),
    [
        ((2, 2), (1, 2, 3), {}, "3 to 5 dimensions"),
        ((2, 3, 3, 3), (1, 4, 8, 8), {}, "takes inputs"),
        ((2, 3, 3, 3), (1, 3, 8), {}, "takes inputs"),
        ((2, 3, 5, 5), (1, 3, 4, 4), {}, "does not fit"),
        ((2, 3, 3, 3), (1, 3, 8, 8), {"padding": "same", "stride": 2}, "needs stride 1"),
        ((2, 3, 3, 3), (1, 3, 8, 8), {"padding": "reflect"}, '"same" or "valid"'),
        ((2, 3, 3, 3), (1, 3, 8, 8), {"stride": (1, 2, 3)}, "one number or 2"),
    ],
)
def test_convolution_says_what_does_not_fit(weight_shape, input_shape, options, message):
    with pytest.raises(ValueError, match=message):
        Convolution(draw(*weight_shape), input_shape, **options)


def test_matrix():
    dense = draw(3, 5, 4)
    operator = Matrix(dense)
    assert_adjoint(operator)
    assert torch.equal(operator.as_matrix(), dense)
    with pytest.raises(ValueError, match="B, m, n"):
        Matrix(dense[0])


def test_as_matrix_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="3 x 5 x 4 numbers"):
        Matrix(draw(3, 5, 4)).as_matrix(limit=59)


def test_row_selection_drops_rows_whatever_they_hold():
    dense, rows = draw(3, 5, 4), draw(3, 5, seed=1) > 0
    operator = RowSelection(Matrix(dense), rows)
    assert_adjoint(operator)
    torch.testing.assert_close(operator.as_matrix(), dense * rows[..., None])
    u = draw(3, 5, seed=2)
    torch.testing.assert_close(
        operator.rmv(u.masked_fill(~rows, 1e30)), operator.rmv(u), rtol=0, atol=0
    )
    with pytest.raises(ValueError, match="boolean mask"):
        RowSelection(Matrix(dense), rows.double())


class Residual(nn.Module):
    """A residual block as torchvision's, in-place activation included."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), activation, nn.Conv2d(3, 3, 1)
        )

    def forward(self, x):
        return x + self.branch(x)


class Attention(nn.Module):
    def forward(self, x):
        # Contiguous with one head: what the fused kernels take.
        tokens = x.flatten(2).mT.unsqueeze(1).contiguous()
        return F.scaled_dot_product_attention(tokens, tokens, tokens)


def frozen(module: nn.Module) -> nn.Module:
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    return module


def trained_norm() -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(3)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    nn.init.normal_(norm.weight)
    return norm


MODULES = {
    "residual ReLU": lambda: Residual(nn.ReLU(inplace=True)),
    "residual SiLU": lambda: Residual(nn.SiLU()),
    "frozen": lambda: frozen(Residual(nn.GELU())),
    "batch norm": trained_norm,
    "max pool": lambda: nn.MaxPool2d(3, stride=2, padding=1),
    "average pool": lambda: nn.AvgPool2d(2),
    "flatten and fc": lambda: nn.Sequential(nn.Flatten(), nn.Linear(75, 7)),
    "in-place first": lambda: nn.ReLU(inplace=True),
    "attention": Attention,
    "identity": nn.Identity,
}


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("context", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_jacobian_equals_jacrev_and_leaves_no_trace(name, context):
    torch.manual_seed(0)
    module = MODULES[name]().double().eval()
    x = draw(2, 3, 5, 5)
    before = x.clone()
    frozen_before = [p.requires_grad for p in module.parameters()]
    expected, value = dense_jacobian(lambda a: module(a.clone()), x), module(x.clone()).detach()
    with context():
        operator = Jacobian(module, x)
        dense = operator.as_matrix()
        assert_adjoint(operator)
    torch.testing.assert_close(dense, expected)
    torch.testing.assert_close(operator.value, value)
    assert torch.equal(x, before)
    assert not x.requires_grad
    assert not dense.requires_grad
    assert not operator.value.requires_grad
    assert all(p.grad is None for p in module.parameters())
    assert [p.requires_grad for p in module.parameters()] == frozen_before


def test_jacobian_runs_f_once():
    calls = []

    def f(x):
        calls.append(1)
        return x.tanh()

    operator = Jacobian(f, draw(2, 3))
    for _ in range(3):
        operator.mv(draw(2, 3))
        operator.rmv(draw(2, 3))
    assert len(calls) == 1


@pytest.mark.parametrize(
    "f",
    [
        lambda x: torch.ones(2, 4, dtype=torch.float64),
        lambda x: torch.ones(2, 4, dtype=torch.float64, requires_grad=True) * 2,
        lambda x: torch.sign(x).repeat(1, 2)[:, :4],
    ],
    ids=["constant", "constant with a graph", "zero derivative"],
)
def test_jacobian_of_what_does_not_depend_on_x_is_zero(f):
    operator = Jacobian(f, draw(2, 3))
    assert torch.equal(operator.as_matrix(), torch.zeros(2, 4, 3, dtype=torch.float64))
    assert torch.equal(operator.rmv(draw(2, 4)), torch.zeros(2, 3, dtype=torch.float64))


def test_jacobian_ignores_autocast():
    linear, x = nn.Linear(4, 3), torch.ones(2, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        operator = Jacobian(linear, x)
    assert operator.value.dtype == torch.float32
    torch.testing.assert_close(operator.as_matrix()[0], linear.weight.detach())


class Packed:
    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor


def test_jacobian_frees_its_graph_with_itself():
    kept = []

    def pack(tensor):
        packed = Packed(tensor)
        kept.append(weakref.ref(packed))
        return packed

    gc.disable()  # references alone must do it
    try:
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda packed: packed.tensor):
            operator = Jacobian(lambda x: x.sin() * x, draw(2, 3))
        assert any(ref() is not None for ref in kept)
        del operator
        assert all(ref() is None for ref in kept)
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("f", "error", "message"),
    [
        (lambda x: (x, x), TypeError, "one tensor"),
        (lambda x: x.sum(), ValueError, "keep batch size"),
        (lambda x: x.float(), ValueError, "dtype"),
    ],
)
def test_jacobian_says_what_f_must_return(f, error, message):
    with pytest.raises(error, match=message):
        Jacobian(f, draw(2, 3))
