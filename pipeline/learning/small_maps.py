"""Gradients of weights of convolutions with small maps, as matrix products, for training on a CPU.

oneDNN, which computes PyTorch's convolutions there, sums a weight's gradient over the positions of
a map. With 3 x 3 positions and 512 channels in bfloat16 that is many times slower than a matrix
product: 20 to 30 % of a ResNet's training step (`python -m bench.training`).
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.grad import conv2d_input
from torch.overrides import TorchFunctionMode

FEW: int = 36  # positions of a map; with more, oneDNN is the faster one


class SmallMaps(TorchFunctionMode):
    """A context in which convolutions whose output has few positions get their weights' gradients
    by products; those with a bias, groups or a dilation, and all others, stay as they are."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func is torch.conv2d and len(args) == 7 and not kwargs:
            x, weight, bias, stride, padding, dilation, groups = args
            plain = bias is None and groups == 1 and dilation == (1, 1)
            if plain and _few(x.shape, weight.shape, stride, padding):
                return _Convolution.apply(x, weight, stride, padding)
        return func(*args, **(kwargs or {}))


def _few(x: Sequence[int], weight: Sequence[int], stride: Any, padding: Any) -> bool:
    """Whether a convolution's output has few positions, from its arguments' shapes."""
    if len(x) != 4 or isinstance(padding, str):
        return False
    count = 1
    for side, kernel, step, margin in zip(x[2:], weight[2:], stride, padding, strict=True):
        count *= (side + 2 * margin - kernel) // step + 1
    return count <= FEW


class _Convolution(torch.autograd.Function):
    """x (B, I, H, W) with weight (O, I, h, w): F.conv2d forwards, its derivatives backwards."""

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.bfloat16)
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: Any, padding: Any) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(x, weight, None, stride, padding)

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")
    def backward(ctx: Any, upper: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        of_x = of_weight = None
        if ctx.needs_input_grad[0]:
            of_x = conv2d_input(x.shape, weight, upper, ctx.stride, ctx.padding)
        if ctx.needs_input_grad[1]:
            of_weight = _of_weight(x, weight, upper, ctx.stride, ctx.padding)
        return of_x, of_weight, None, None


def _of_weight(x: Tensor, weight: Tensor, upper: Tensor, stride: Any, padding: Any) -> Tensor:
    """Return the derivative (O, I, h, w) for the output's, `upper` (B, O, P, Q): for each offset
    of the kernel, one product over all pictures and positions."""
    (down, right), (rows, columns) = stride, upper.shape[2:]
    x = F.pad(x, (padding[1], padding[1], padding[0], padding[0])).permute(0, 2, 3, 1)
    upper = upper.permute(1, 0, 2, 3).flatten(1)
    out, inside, height, width = weight.shape
    found = weight.new_empty(out, height, width, inside)
    for i in range(height):
        for j in range(width):
            seen = x[:, i : i + down * rows : down, j : j + right * columns : right]
            seen = seen[:, :rows, :columns].flatten(0, 2)
            found[:, i, j] = upper @ seen
    return found.permute(0, 3, 1, 2)
