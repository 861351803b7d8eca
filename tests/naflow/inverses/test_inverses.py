"""Every rule against its contract, and the solved ones against dense least squares."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from naflow import NAFlow
from naflow.errors import UnsupportedModel
from naflow.inverses import RULES, ForwardUnit, Inverse, closed_form, rule_for, under
from naflow.linalg import (
    Bidiagonalisation,
    Jacobian,
    Matrix,
    Solution,
    Stop,
    largest_singular_value,
)
from naflow.presets import InverseConfig
from naflow.testing import check_inverse, unit_of

UNDAMPED = InverseConfig(damping=0.0, drop_abandoned=False, tol=1e-12, max_iterations=None)


def batch_norm(channels: int, **settings: object) -> nn.Module:
    norm = nn.BatchNorm2d(channels, **settings)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    if norm.affine:
        nn.init.uniform_(norm.weight, -2, 2)
        nn.init.normal_(norm.bias)
    return norm


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 3, padding=1), batch_norm(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 0.3 * torch.tanh(self.norm(self.conv(x)))


torch.manual_seed(0)
LAYERS = {
    "conv": nn.Conv2d(3, 7, 3, padding=1),
    "conv strided": nn.Conv2d(3, 16, 3, stride=2, padding=1),
    "conv fewer outputs": nn.Conv2d(3, 2, 3, padding=1),
    "conv dilated grouped": nn.Conv2d(4, 8, 3, padding=2, dilation=2, groups=2, bias=False),
    "conv same": nn.Conv2d(3, 6, (3, 4), padding="same"),
    "conv reflected": nn.Conv2d(3, 6, 3, padding=1, padding_mode="reflect"),
    "conv transposed": nn.ConvTranspose2d(3, 6, 3, stride=2, padding=1),
    "linear": nn.Linear(6, 9),
    "batch norm": batch_norm(3),
    "batch norm without affine": batch_norm(3, affine=False),
    "ReLU": nn.ReLU(),
    "ReLU in place": nn.ReLU(inplace=True),
    "ReLU6": nn.ReLU6(),
    "LeakyReLU": nn.LeakyReLU(0.2),
    "PReLU": nn.PReLU(3),
    "ELU": nn.ELU(1.3),
    "CELU": nn.CELU(1.3),
    "SELU": nn.SELU(),
    "Sigmoid": nn.Sigmoid(),
    "Tanh": nn.Tanh(),
    "Softplus": nn.Softplus(2.0),
    "Softsign": nn.Softsign(),
    "LogSigmoid": nn.LogSigmoid(),
    "SiLU": nn.SiLU(),
    "GELU": nn.GELU(),
    "Mish": nn.Mish(),
    "Hardswish": nn.Hardswish(),
    "Hardsigmoid": nn.Hardsigmoid(),
    "max pool": nn.MaxPool2d(2),
    "max pool overlapping": nn.MaxPool2d(3, stride=2, padding=1),
    "max pool adaptive": nn.AdaptiveMaxPool2d(3),
    "average pool": nn.AvgPool2d(2),
    "average pool adaptive": nn.AdaptiveAvgPool2d(3),
    "flatten": nn.Flatten(),
    "layer norm": nn.GroupNorm(1, 3),
    "residual block": Residual(),
    "channel shuffle": nn.PixelUnshuffle(2),
}


def inverted(
    module: nn.Module,
    x: torch.Tensor,
    target: torch.Tensor,
    config: InverseConfig,
    kept: torch.Tensor | None = None,
) -> Solution:
    """What the module's rule makes of target at x."""
    unit = unit_of(module, x)
    with torch.no_grad():
        y = module(x.clone())
    return under(rule_for(unit), config)(ForwardUnit(unit, x, y, kept), target, config)


def an_input(module: nn.Module) -> torch.Tensor:
    if isinstance(module, nn.Linear):
        return torch.randn(2, 6)
    return torch.randn(2, getattr(module, "in_channels", 3), 6, 6)


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("name", LAYERS)
def test_contract(name: str) -> None:
    module = LAYERS[name]
    x = an_input(module)
    check_inverse(rule_for(unit_of(module, x)), module, x, tol=1e-5)


@pytest.mark.parametrize("name", ["conv", "conv strided", "conv fewer outputs", "residual block"])
@pytest.mark.parametrize("anchor", ["zero", "forward"])
@pytest.mark.parametrize("damping", [0.0, 0.7])
@pytest.mark.parametrize("truncate", [False, True])
def test_least_squares_equals_dense(name: str, anchor: str, damping: float, truncate: bool) -> None:
    module = LAYERS[name].double().eval()
    x = torch.randn(2, 3, 5, 5).double()
    with torch.no_grad():
        y = module(x)
    kept, target = torch.rand(y.shape) < 0.7, torch.randn_like(y)
    config = InverseConfig(
        truncate=truncate, anchor=anchor, damping=damping, tol=1e-13, max_iterations=4000
    )
    found = inverted(module, x, target, config, kept).value

    jacobian = Jacobian(module, x)
    dense = jacobian.as_matrix()
    offset = (y - jacobian.mv(x)).flatten(1)
    for i in range(2):
        rows = kept[i].flatten().clone()
        if truncate:
            rows[x[i].numel() :] = False
        matrix = dense[i][rows]
        right = (target[i].flatten() - offset[i])[rows]
        a = x[i].flatten() if anchor == "forward" else torch.zeros_like(x[i].flatten())
        selected, t = dense[i] * rows[:, None], torch.zeros(len(dense[i])).double()
        t[rows] = right - matrix @ a
        scale = largest_singular_value(Bidiagonalisation(Matrix(selected[None]), t[None]))[0]
        ridge = damping * scale * torch.eye(matrix.shape[1]).double()
        stacked = torch.cat([matrix, ridge])
        residual = torch.cat([right - matrix @ a, torch.zeros(matrix.shape[1]).double()])
        expected = a + torch.linalg.lstsq(stacked, residual, driver="gelsd").solution
        error = (found[i].flatten() - expected).norm() / expected.norm()
        assert error < (1e-6 if damping else 1e-4), (name, float(error))


def test_infinite_damping_is_the_anchor() -> None:
    module = LAYERS["conv"].double()
    x = torch.randn(2, 3, 5, 5).double()
    config = InverseConfig(damping=math.inf, anchor="forward")
    solution = inverted(module, x, torch.randn(2, 7, 5, 5).double(), config)
    assert torch.equal(solution.value, x)
    assert set(solution.stop.tolist()) == {Stop.CLOSED_FORM}


def test_consistent_target_needs_no_iteration() -> None:
    """Nothing abandoned and the anchor at the forward pass: it already is the solution."""
    module = LAYERS["residual block"].double().eval()
    x = torch.randn(2, 3, 5, 5).double()
    y = module(x).detach()
    config = InverseConfig(damping=1.0, anchor="forward")
    solution = inverted(module, x, y.clone(), config)
    assert torch.allclose(solution.value, x, atol=1e-10)


def test_relu_abandons_what_was_closed() -> None:
    x = torch.tensor([[[[-1.0, 2.0, 0.0, 3.0]]]])
    value = inverted(nn.ReLU(), x, torch.full_like(x, 5.0), UNDAMPED).value
    assert value.flatten().tolist() == [0, 5, 0, 5]


def test_max_pool_puts_a_value_back_once() -> None:
    """Overlapping windows that pick one neuron: the last in row-major order, never the sum."""
    x = torch.zeros(1, 1, 3, 3)
    x[0, 0, 1, 1] = 9.0
    pool = nn.MaxPool2d(2, stride=1)
    target = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    solution = inverted(pool, x, target, UNDAMPED)
    expected = torch.zeros(1, 1, 3, 3)
    expected[0, 0, 1, 1] = 4.0
    assert torch.equal(solution.value, expected)
    assert solution.residual.item() == pytest.approx(math.sqrt((9 + 4 + 1) / 30))
    kept = torch.tensor([[[[True, True], [True, False]]]])
    assert inverted(pool, x, target, UNDAMPED, kept).value.sum() == 3  # the last one kept


def test_batch_norm_gamma_zero_is_abandoned() -> None:
    norm = batch_norm(3).eval()
    with torch.no_grad():
        norm.weight[1] = 0
    x = torch.randn(2, 3, 4, 4)
    y = norm(x).detach()
    value = inverted(norm, x, y, UNDAMPED).value
    assert torch.equal(value[:, 1], torch.zeros(2, 4, 4))
    assert torch.allclose(value[:, [0, 2]], x[:, [0, 2]], atol=1e-5)
    assert "1 of 3 have gamma = 0" in rule_for(unit := unit_of(norm, x)).describe(unit)


def test_batch_statistics_are_refused_by_name() -> None:
    block = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3, track_running_stats=False))
    with pytest.raises(UnsupportedModel, match=r"Layer 'Sequential' .block of 2.*no running mean"):
        rule_for(unit_of(block, torch.randn(2, 3, 4, 4)))
    model = nn.Sequential(OrderedDict(stem=block, pool=nn.AdaptiveAvgPool2d(1), out=nn.Flatten()))
    with pytest.raises(UnsupportedModel, match=r"'stem\.1' .batch_norm. uses batch statistics"):
        NAFlow(model, "damped")(torch.randn(2, 3, 8, 8))


@settings(max_examples=25, deadline=None)
@given(st.floats(-3, 3), st.floats(0, 5))
def test_smooth_inverse_minimises_its_problem(target: float, damping: float) -> None:
    """SiLU by its local slope: no other x lowers the damped objective."""
    x = torch.tensor([[-2.0, -0.5, 0.3, 2.0]]).double()
    module = nn.SiLU()
    z = torch.full_like(x, target)
    config = InverseConfig(damping=damping)
    value = inverted(module, x, z, config).value
    slope = torch.func.vmap(torch.func.grad(module))(x.flatten()).view_as(x)
    ridge = (damping * slope.abs().max()) ** 2

    def objective(v: torch.Tensor) -> torch.Tensor:
        return (module(x) + slope * (v - x) - z).square() + ridge * v.square()

    for step in (1e-3, -1e-3):
        assert (objective(value) <= objective(value + step) + 1e-12).all()


class Exponential(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.exp()


class Logarithm(Inverse):
    """Abandons where there is none; 0 is that of what is not positive."""

    families = ("exp",)
    description = "its logarithm"

    def __call__(self, unit: ForwardUnit, target: torch.Tensor, config: InverseConfig) -> Solution:
        return closed_form(torch.where(target > 0, target.log(), 0.0))


def test_a_rule_of_ones_own() -> None:
    x = torch.randn(2, 3, 4, 4)
    check_inverse(Logarithm(), Exponential(), x)
    unit = unit_of(Exponential(), x)
    assert isinstance(rule_for(unit, [Logarithm()]), Logarithm)
    assert all(not isinstance(rule, Logarithm) for rule in RULES)
    assert not Logarithm().matches(unit_of(nn.Sequential(Exponential(), nn.ReLU()), x))
    model = nn.Sequential(nn.Conv2d(3, 4, 3), Exponential(), nn.Conv2d(4, 3, 3), nn.ReLU(),
                          nn.AdaptiveAvgPool2d(1), nn.Flatten())  # fmt: skip
    flow = NAFlow(model, "damped", rules=[Logarithm()])(torch.randn(1, 3, 9, 9))
    assert flow.stats["0"].rule == "its logarithm"
    assert NAFlow(model, "damped")(torch.randn(1, 3, 9, 9)).stats["0"].rule.startswith("least sq")


class Forgetful(Logarithm):
    def __call__(self, unit: ForwardUnit, target: torch.Tensor, config: InverseConfig) -> Solution:
        return closed_form(target)


def test_check_inverse_finds_a_wrong_rule() -> None:
    with pytest.raises(AssertionError, match="give back the forward input"):
        check_inverse(Forgetful(), Exponential(), torch.randn(2, 3, 4, 4))
    with pytest.raises(AssertionError, match=r"Logarithm on ReLU: matches\(\) is False"):
        check_inverse(Logarithm(), nn.ReLU(), torch.randn(2, 3, 4, 4))


# --- what is asked is the operation, however it is written ---------------------------------------


class Written(nn.Module):
    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)


WEIGHT = torch.randn(6, 3, 3, 3)
FORMS: dict[str, tuple[str, list[Callable[[torch.Tensor], torch.Tensor]]]] = {
    "Rectifier": (
        "relu",
        [
            torch.relu, F.relu, torch.Tensor.relu, torch.relu_, F.relu_, torch.Tensor.relu_,
            lambda x: F.relu(x, inplace=True), lambda x: F.relu(x, True),
            nn.ReLU(), nn.ReLU(inplace=True), torch.ops.aten.relu,
        ],
    ),
    "Smooth": (
        "sigmoid",
        [torch.sigmoid, F.sigmoid, torch.Tensor.sigmoid, nn.Sigmoid(), torch.special.expit],
    ),
    "Conv": (
        "conv2d",
        [
            lambda x: F.conv2d(x, WEIGHT.to(x), padding=1),
            lambda x: torch.conv2d(x, WEIGHT.to(x), None, 1, 1),
            lambda x: torch.conv2d(input=x, weight=WEIGHT.to(x), padding=(1, 1)),
        ],
    ),
    "MaxPool": (
        "max_pool2d",
        [
            lambda x: F.max_pool2d(x, 2), lambda x: torch.max_pool2d(x, 2, 2),
            nn.MaxPool2d(2), lambda x: F.max_pool2d(x, kernel_size=2, return_indices=True)[0],
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "kind", "function"),
    [(r, kind, f) for r, (kind, functions) in FORMS.items() for f in functions],
)
def test_modules_functions_methods_and_in_place_are_one_operation(
    rule: str, kind: str, function: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    x = torch.randn(2, 3, 6, 6)
    first = FORMS[rule][1][0]
    unit = unit_of(Written(function), x)
    assert unit.kind == kind
    assert type(rule_for(unit)).__name__ == rule
    target = torch.randn_like(first(x.clone()))
    config = InverseConfig()
    found = inverted(Written(function), x, target, config).value
    torch.testing.assert_close(found, inverted(Written(first), x, target, config).value)


@pytest.mark.parametrize("module", [nn.Dropout(0.5), nn.Identity(), nn.Dropout2d(0.5)])
def test_what_returns_what_it_is_given_is_no_operation(module: nn.Module) -> None:
    """In evaluation mode: there is nothing to invert, and no layer of its own."""
    assert unit_of(module, torch.randn(2, 3, 4, 4)).operations == ()
    model = nn.Sequential(nn.Conv2d(3, 4, 3), module, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert NAFlow(model)(torch.randn(1, 3, 8, 8)).layers == ["0"]
