"""Products give the gradients that PyTorch's convolutions give, and only where maps are small."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from pipeline.learning import small_maps
from pipeline.learning.small_maps import SmallMaps

sizes = st.integers(1, 8)
pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


def gradients(x: Tensor, weight: Tensor, *settings: object) -> tuple[Tensor, ...]:
    """The output of a convolution, and the derivatives of a sum over it with unlike weights."""
    x, weight = x.clone().requires_grad_(), weight.clone().requires_grad_()
    y = torch.conv2d(x, weight, None, *settings)
    counted = torch.arange(y.numel(), dtype=y.dtype).view(y.shape).sin()
    return y, *torch.autograd.grad((y * counted).sum(), (x, weight))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[torch.Size]:
    """The shapes of the outputs whose weights' gradients were products."""
    calls, product = [], small_maps._of_weight

    def noted(x: Tensor, weight: Tensor, upper: Tensor, *rest: object) -> Tensor:
        calls.append(upper.shape)
        return product(x, weight, upper, *rest)

    monkeypatch.setattr(small_maps, "_of_weight", noted)
    return calls


@settings(max_examples=60, deadline=None)
@given(sizes, sizes, pairs, pairs, st.tuples(st.integers(0, 2), st.integers(0, 2)), st.booleans())
def test_gradients_are_those_of_the_convolution(
    height: int, width: int, kernel: tuple, stride: tuple, padding: tuple, last: bool
) -> None:
    assume(height + 2 * padding[0] >= kernel[0] and width + 2 * padding[1] >= kernel[1])
    torch.manual_seed(height + 10 * width)
    x = torch.randn(3, 4, height, width, dtype=torch.float64)
    weight = torch.randn(5, 4, *kernel, dtype=torch.float64)
    if last:
        x, weight = (one.to(memory_format=torch.channels_last) for one in (x, weight))
    wanted = gradients(x, weight, stride, padding, (1, 1), 1)
    with SmallMaps():
        found = gradients(x, weight, stride, padding, (1, 1), 1)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("module", "side", "products"),
    [
        (nn.Conv2d(4, 6, 3, padding=1, bias=False), 6, 1),
        (nn.Conv2d(4, 6, 3, padding=1, bias=False), 7, 0),
        (nn.Conv2d(4, 6, 3, padding=1), 3, 0),
        (nn.Conv2d(4, 6, 3, groups=2, bias=False), 5, 0),
        (nn.Conv2d(4, 6, 2, dilation=2, bias=False), 5, 0),
        (nn.Conv2d(4, 6, 3, padding="same", bias=False), 3, 0),
        (nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect", bias=False), 3, 1),
    ],
)
def test_modules_with_small_maps_use_products(
    calls: list, module: nn.Conv2d, side: int, products: int
) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 4, side, side)
    wanted = torch.autograd.grad(module(x).square().sum(), module.weight)
    with SmallMaps():
        loss = module(x).square().sum()
    [found] = torch.autograd.grad(loss, module.weight)
    torch.testing.assert_close(found, *wanted)
    assert len(calls) == products


def test_bfloat16_comes_as_near_as_the_convolutions_own(calls: list) -> None:
    torch.manual_seed(1)
    x, weight = torch.randn(8, 32, 3, 3), torch.randn(16, 32, 3, 3) / 17
    settings = ((1, 1), (1, 1), (1, 1), 1)
    exact = gradients(x.double(), weight.double(), *settings)
    with torch.autocast("cpu", torch.bfloat16):
        plain = gradients(x, weight, *settings)
        with SmallMaps():
            found = gradients(x, weight, *settings)
    assert found[0].dtype == torch.bfloat16 and found[2].dtype == torch.float32
    for one, own, truth in zip(found, plain, exact, strict=True):
        assert (one.double() - truth).norm() < 1.2 * (own.double() - truth).norm() + 1e-9
    assert len(calls) == 1


def test_a_fixed_weight_gets_no_gradient(calls: list) -> None:
    x, layer = torch.randn(1, 2, 3, 3, requires_grad=True), nn.Conv2d(2, 2, 1, bias=False)
    nn.init.ones_(layer.weight.requires_grad_(False))
    with SmallMaps():
        layer(x).sum().backward()
    assert x.grad is not None and torch.equal(x.grad, torch.full_like(x, 2.0))
    assert calls == [] and layer.weight.grad is None
