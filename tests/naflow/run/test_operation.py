"""What is called, by one name, with its arguments by theirs."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from naflow.run.operation import canonical, named, overwritten, replaced, tensors

X = torch.randn(2, 4, 6, 6)
OUT = torch.empty(2, 4, 6, 6)


class Calls(TorchFunctionMode):
    """The calls that a mode sees, as they are made."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[tuple[Callable, tuple, dict]] = []

    def __torch_function__(self, func: Callable, types: Any, args: Any = (), kwargs: Any = None):
        self.made.append((func, args, kwargs or {}))
        return func(*args, **(kwargs or {}))


def call(function: Callable[[Tensor], object]) -> tuple[Callable, tuple, dict]:
    x = X.clone()
    with Calls() as calls:
        function(x)
    return next(made for made in calls.made if canonical(made[0]) not in ("dim", "clone"))


@pytest.mark.parametrize(
    ("name", "functions"),
    [
        ("add", [lambda x: x + 1, lambda x: 1 + x, lambda x: torch.add(x, 1), lambda x: x.add(x),
                 lambda x: x.add_(1), lambda x: operator.iadd(x, 1)]),
        ("sub", [lambda x: x - 1, lambda x: x.sub_(1), lambda x: torch.subtract(x, 1),
                 lambda x: operator.isub(x, 1)]),
        ("rsub", [lambda x: 1 - x, lambda x: torch.rsub(x, 1)]),
        ("mul", [lambda x: 2 * x, lambda x: x * x, lambda x: torch.multiply(x, 2),
                 lambda x: operator.imul(x, 2), lambda x: x.mul_(2)]),
        ("div", [lambda x: x / 2, lambda x: x.true_divide(2), lambda x: operator.itruediv(x, 2),
                 lambda x: torch.divide(x, 2)]),
        ("relu", [F.relu, torch.relu, nn.ReLU(), nn.ReLU(inplace=True), lambda x: x.relu_()]),
        ("clamp", [lambda x: x.clamp(0, 1), lambda x: torch.clip(x, 0, 1), lambda x: x.clip_(0)]),
        ("sigmoid", [torch.sigmoid, torch.special.expit, nn.Sigmoid(), lambda x: x.sigmoid_()]),
        ("cat", [lambda x: torch.cat([x, x]), lambda x: torch.concat([x]),
                 lambda x: torch.concatenate([x])]),
        ("max_pool2d", [nn.MaxPool2d(2), lambda x: torch.max_pool2d(x, 2),
                        nn.MaxPool2d(2, return_indices=True)]),
        ("getitem", [lambda x: x[0], lambda x: x[:, 1:]]),
        ("setitem", [lambda x: operator.setitem(x, 0, 1.0)]),
        ("mT", [lambda x: x.mT]),
    ],
)  # fmt: skip
def test_one_name_for_what_is_the_same(
    name: str, functions: list[Callable[[Tensor], object]]
) -> None:
    assert {canonical(call(function)[0]) for function in functions} == {name}


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (torch.relu, False),
        (torch.relu_, True),
        (lambda x: F.relu(x, inplace=True), True),
        (lambda x: F.relu(x, True), True),
        (lambda x: F.leaky_relu(x, 0.1, True), True),
        (lambda x: F.dropout(x, 0.5, True), False),
        (lambda x: F.dropout(x, 0.5, True, True), True),
        (lambda x: operator.iadd(x, 1), True),
        (lambda x: operator.setitem(x, 0, 1.0), True),
        (lambda x: x + 1, False),
        (lambda x: x.__getitem__(0), False),
        (lambda x: torch.add(x, 1, out=OUT), True),
        (lambda x: F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=True), False),
    ],
)
def test_what_overwrites(function: Callable[[Tensor], object], expected: bool) -> None:
    assert bool(overwritten(*call(function))) == expected


def test_arguments_by_name() -> None:
    weight = torch.randn(4, 4, 3, 3)
    found = named(*call(lambda x: torch.conv2d(x, weight, None, 2, padding=1)))
    assert found["weight"] is weight and found["bias"] is None
    assert [found[k] for k in ("stride", "padding", "dilation", "groups")] == [2, 1, 1, 1]
    found = named(*call(nn.MaxPool2d(3, 2, 1)))
    assert (found["kernel_size"], found["stride"], found["padding"]) == (3, 2, 1)
    norm = nn.BatchNorm2d(4).eval()
    by_function = named(*call(norm))
    by_torch = named(*call(lambda x: torch.batch_norm(
        x, norm.weight, norm.bias, norm.running_mean, norm.running_var, False, 0.1, 1e-5, True
    )))  # fmt: skip
    for key in ("weight", "bias", "running_mean", "running_var", "training", "eps"):
        assert by_function[key] is by_torch[key] or by_function[key] == by_torch[key], key
    assert named(*call(lambda x: F.leaky_relu(x)))["negative_slope"] == 0.01
    assert named(*call(lambda x: x.clamp(max=3)))["max"] == 3


def test_arguments_are_walked_and_replaced_in_their_places() -> None:
    size = torch.Size([2, 3])
    nested = ([X, (1, {"a": X})], size, slice(None), "text")
    assert sum(1 for _ in tensors(nested)) == 2
    found = replaced(nested, lambda t: 7, Tensor)
    assert found == ([7, (1, {"a": 7})], size, slice(None), "text")
    largest = replaced(X.max(1), lambda t: 7, Tensor)
    assert largest == (7, 7) and largest.values == 7
    assert type(replaced(size, lambda t: 7, Tensor)) is torch.Size
