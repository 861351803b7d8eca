"""Linear operators given by their products J v and J^T u. No matrix is formed.

Every operator holds one independent map per sample of a batch. Shapes include the batch:
v is (B, *in), u is (B, *out). Inner products and norms are taken sample by sample.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel


class LinearOperator(ABC):
    """A linear map J for each sample of a batch.

    Attributes
    ----------
    input_shape : (B, *in), what `mv` takes and `rmv` gives.
    output_shape : (B, *out), what `rmv` takes and `mv` gives.
    dtype, device : of every tensor that goes in or out.

    """

    def __init__(
        self,
        input_shape: Sequence[int],
        output_shape: Sequence[int],
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self.input_shape = torch.Size(input_shape)
        self.output_shape = torch.Size(output_shape)
        self.dtype = dtype
        self.device = device

    @abstractmethod
    def mv(self, v: Tensor) -> Tensor:
        """J v: (B, *in) -> (B, *out)."""

    @abstractmethod
    def rmv(self, u: Tensor) -> Tensor:
        """J^T u: (B, *out) -> (B, *in)."""

    def as_matrix(self, limit: int = 2**24) -> Tensor:
        """Return J as a dense (B, m, n) tensor, m = prod(out), n = prod(in), for tests.

        Costs n products. Raises ValueError if it would hold more than `limit` numbers.
        """
        batch, n = self.input_shape[0], math.prod(self.input_shape[1:])
        m = math.prod(self.output_shape[1:])
        if batch * m * n > limit:
            raise ValueError(
                f"as_matrix would hold {batch} x {m} x {n} numbers, more than limit={limit}. "
                "It is meant for small tests; use mv and rmv, or raise the limit."
            )
        basis = torch.eye(n, dtype=self.dtype, device=self.device)
        columns = [
            self.mv(e.expand(batch, n).reshape(self.input_shape)).reshape(batch, m) for e in basis
        ]
        return torch.stack(columns, dim=-1)  # (B, m, n)

    def __repr__(self) -> str:
        shapes = f"{tuple(self.input_shape)} -> {tuple(self.output_shape)}"
        return f"{type(self).__name__}({shapes}, {self.dtype}, {self.device})"


class Matrix(LinearOperator):
    """J given as a dense (B, m, n) tensor; v is (B, n), u is (B, m)."""

    def __init__(self, matrix: Tensor) -> None:
        if matrix.ndim != 3:
            raise ValueError(f"Matrix needs a (B, m, n) tensor, not shape {tuple(matrix.shape)}.")
        batch, m, n = matrix.shape
        super().__init__((batch, n), (batch, m), matrix.dtype, matrix.device)
        self.matrix = matrix.detach()  # (B, m, n)

    def mv(self, v: Tensor) -> Tensor:
        """J v by one batched product."""
        return (self.matrix @ v.unsqueeze(-1)).squeeze(-1)

    def rmv(self, u: Tensor) -> Tensor:
        """J^T u by one batched product."""
        return (self.matrix.mT @ u.unsqueeze(-1)).squeeze(-1)


class RowSelection(LinearOperator):
    """P J: only the rows (outputs) where `rows`, a boolean (B, *out), is True; the rest are zero.

    The target of a solve must be zero outside `rows`, too, or the residual cannot vanish.
    """

    def __init__(self, operator: LinearOperator, rows: Tensor) -> None:
        if rows.dtype != torch.bool or rows.shape != operator.output_shape:
            raise ValueError(
                f"rows must be a boolean mask of shape {tuple(operator.output_shape)}, "
                f"not {rows.dtype} of shape {tuple(rows.shape)}."
            )
        super().__init__(
            operator.input_shape, operator.output_shape, operator.dtype, operator.device
        )
        self.operator = operator
        # (B, *out), 0 or 1, exact in two bytes: multiplying is faster than masking.
        self.rows = rows.to(torch.bfloat16)

    def mv(self, v: Tensor) -> Tensor:
        """P J v: zero in the dropped rows."""
        return self.operator.mv(v) * self.rows

    def rmv(self, u: Tensor) -> Tensor:
        """J^T P u: finite values of u in the dropped rows are ignored."""
        return self.operator.rmv(u * self.rows)


class Jacobian(LinearOperator):
    """The Jacobian J = df/dx at x of any f: (B, *in) -> (B, *out) whose samples are independent.

    f runs once, here. J^T u is its vector-Jacobian product g(u). As g is linear in u, J v is the
    product of v with dg/du (the double-vjp trick). They cost about one and two forward passes of f,
    whose graph lives as long as this object. f must not couple the samples (batch norm must be in
    eval mode) and must be twice differentiable by autograd, or `mv` raises autograd's RuntimeError.
    No `.grad` is written; parameters may be frozen. If f does not depend on x, both products are
    zero. f is given a copy of x, in x's dtype, outside autocast.

    Attributes
    ----------
    value : f(x), (B, *out), detached.

    """

    def __init__(self, f: Callable[[Tensor], Tensor], x: Tensor) -> None:
        # Fused attention kernels have no second derivative; the plain one has.
        with (
            torch.inference_mode(False),
            torch.enable_grad(),
            torch.autocast(x.device.type, enabled=False),
            sdpa_kernel(SDPBackend.MATH),
        ):
            self._x = x.detach().clone().requires_grad_()
            self._y = f(self._x.clone())  # a clone, as f may begin with an in-place layer
            self._check_output()
            self._u = torch.zeros_like(self._y, requires_grad=True)
            self._g = self._transposed(self._u, create_graph=True)  # linear in u
        super().__init__(x.shape, self._y.shape, x.dtype, x.device)
        self.value = self._y.detach()

    def mv(self, v: Tensor) -> Tensor:
        """J v, by differentiating g."""
        if not self._g.requires_grad:
            return torch.zeros_like(self._u, requires_grad=False)
        (jv,) = torch.autograd.grad(self._g, self._u, v, retain_graph=True, materialize_grads=True)
        return jv

    def rmv(self, u: Tensor) -> Tensor:
        """J^T u, by differentiating f."""
        return self._transposed(u)

    def _transposed(self, u: Tensor, create_graph: bool = False) -> Tensor:
        if not self._y.requires_grad:
            return torch.zeros_like(self._x, requires_grad=False)
        (jtu,) = torch.autograd.grad(
            self._y,
            self._x,
            u,
            retain_graph=True,
            create_graph=create_graph,
            materialize_grads=True,
        )
        return jtu

    def _check_output(self) -> None:
        x, y = self._x, self._y
        if not isinstance(y, Tensor):
            raise TypeError(f"Jacobian needs f to return one tensor, not {type(y).__name__}.")
        if y.ndim == 0 or y.shape[0] != x.shape[0] or y.dtype != x.dtype:
            raise ValueError(
                f"Jacobian needs f to keep batch size and dtype: x is {tuple(x.shape)} {x.dtype}, "
                f"f(x) is {tuple(y.shape)} {y.dtype}."
            )


_CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_CONV_TRANSPOSE = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


class Convolution(LinearOperator):
    """A zero-padded convolution without its bias, in 1, 2 or 3 dimensions.

    weight is (C_out, C_in / groups, *kernel), input_shape (B, C_in, *size). stride, padding and
    dilation are one int or one per dimension; padding may be "valid" or "same" as in
    `torch.nn.Conv2d`. Raises ValueError if they do not fit together.
    """

    def __init__(
        self,
        weight: Tensor,
        input_shape: Sequence[int],
        *,
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] | str = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
    ) -> None:
        rank = weight.ndim - 2
        if rank not in _CONV:
            raise ValueError(f"A convolution weight has 3 to 5 dimensions, not {weight.ndim}.")
        batch, channels, *size = input_shape
        if len(size) != rank or channels != weight.shape[1] * groups:
            raise ValueError(
                f"A weight of shape {tuple(weight.shape)} with groups={groups} takes inputs "
                f"(B, {weight.shape[1] * groups}, {rank} sizes), not {tuple(input_shape)}."
            )
        self.weight = weight.detach()
        self.groups = groups
        self.stride = _per_axis(stride, rank)
        self.dilation = _per_axis(dilation, rank)
        reach = [d * (k - 1) for d, k in zip(self.dilation, weight.shape[2:], strict=True)]

        extra = [0] * rank  # zeros behind the input only: "same" with an odd reach
        if padding == "same":
            if any(s != 1 for s in self.stride):
                raise ValueError(f'padding="same" needs stride 1, not {stride}.')
            self.padding, extra = tuple(r // 2 for r in reach), [r % 2 for r in reach]
        elif isinstance(padding, str):
            if padding != "valid":
                raise ValueError(f'padding is a number, "same" or "valid", not "{padding}".')
            self.padding = (0,) * rank
        else:
            self.padding = _per_axis(padding, rank)
        self.margin = [side for e in reversed(extra) for side in (0, e)]  # in the order of F.pad

        room = [
            n + e + 2 * p - r for n, e, p, r in zip(size, extra, self.padding, reach, strict=True)
        ]
        if min(room) < 1:
            raise ValueError(f"A kernel of {tuple(weight.shape[2:])} does not fit into {size}.")
        # A stride may skip the last inputs: the adjoint gives them zeros.
        self.unread = tuple((r - 1) % s for r, s in zip(room, self.stride, strict=True))
        out = [(r - 1) // s + 1 for r, s in zip(room, self.stride, strict=True)]
        super().__init__(input_shape, (batch, weight.shape[0], *out), weight.dtype, weight.device)
        self._conv, self._conv_transpose = _CONV[rank], _CONV_TRANSPOSE[rank]

    def mv(self, v: Tensor) -> Tensor:
        """Convolve v."""
        return self._conv(
            self._widen(v), self.weight, None, self.stride, self.padding, self.dilation, self.groups
        )

    def rmv(self, u: Tensor) -> Tensor:
        """Apply the transposed convolution to u: the exact adjoint."""
        # On a CPU as fast as torch.nn.grad.conv2d_input, with strides 1.6 times faster.
        wide = self._conv_transpose(
            u,
            self.weight,
            None,
            self.stride,
            self.padding,
            self.unread,
            self.groups,
            self.dilation,
        )
        return self._widen(wide, -1)

    def _widen(self, v: Tensor, sign: int = 1) -> Tensor:
        if not any(self.margin):
            return v
        return F.pad(v, [sign * side for side in self.margin])  # a negative margin crops


def _per_axis(value: int | Sequence[int], rank: int) -> tuple[int, ...]:
    axes = (value,) * rank if isinstance(value, int) else tuple(value)
    if len(axes) != rank:
        raise ValueError(f"Expected one number or {rank} of them, not {value}.")
    return axes
