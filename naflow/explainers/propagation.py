"""A run whose gradients are relevances: LRP through any CNN, without code for single models.

Every operation of the forward pass gets another backward: the relevance rule of its kind. Reverse-
mode differentiation then propagates relevance instead of gradients, also through skips, branches
and reused modules, and one reverse pass gives it at every cut point.

    convolution, linear        a rule of rules.py
    batch norm                 passes R; its scale joins the layer before it (Rules.batch_norm)
    other norms, activations   pass R unchanged (assumed, as everywhere in LRP), and so does a
                               dropout that is always on
    sums a + b, a - b          a R / (a + b), b R / (a + b), signed and stabilised
    products a * gate          all of R to a; the gate is a constant (assumed: signal takes all)
    averages, sums over space  in proportion to the inputs, signed and stabilised
    max pool, concatenation, reshaping, padding, interpolation   their own gradient is the rule
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from naflow.errors import UnsupportedModel
from naflow.explainers.rules import Operation, Rule, Rules, ratio, share
from naflow.run.operation import Value, named, overwritten, replaced, tensors
from naflow.run.run import Run

Send = Callable[..., tuple[Tensor, ...]]

_LAYERS = ("conv1d", "conv2d", "conv3d", "linear")
_TRANSPOSED = ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
_GATES = ("sigmoid", "hardsigmoid", "softmax", "tanh")
_PASS = (
    *_GATES, "relu", "relu6", "hardtanh", "leaky_relu", "rrelu", "prelu", "elu", "celu", "selu",
    "gelu", "silu", "mish", "hardswish", "softplus", "softsign", "logsigmoid", "log_softmax",
    "threshold", "clamp", "clamp_min", "clamp_max", "neg", "hardshrink", "softshrink",
    "tanhshrink", "layer_norm", "group_norm", "instance_norm",
    "local_response_norm", "normalize",
)  # fmt: skip
_AVERAGES = (
    "avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d", "adaptive_avg_pool2d",
    "adaptive_avg_pool3d", "mean", "sum",
)  # fmt: skip
_SUMS = ("add", "sub", "rsub")
_PRODUCTS = ("mul", "div", "rdiv")
_SUMS_OF_PRODUCTS = {"addcmul": "mul", "addcdiv": "div"}
_MOVES = (
    "max_pool1d", "max_pool2d", "max_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d",
    "adaptive_max_pool3d", "max", "amax", "maximum", "interpolate", "upsample", "cat", "concat",
    "concatenate", "stack", "pad", "view", "view_as", "reshape", "reshape_as", "flatten",
    "unflatten", "permute", "transpose", "swapaxes", "movedim", "squeeze", "unsqueeze", "getitem",
    "select", "narrow", "index_select", "chunk", "split", "split_with_sizes", "unbind", "expand",
    "expand_as", "repeat", "repeat_interleave", "roll", "flip", "contiguous", "clone", "to",
    "float", "double", "type", "type_as", "pixel_shuffle", "pixel_unshuffle", "channel_shuffle",
    "native_channel_shuffle",
)  # fmt: skip
_DROPOUTS = (
    "dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout",
    "feature_dropout",
)  # fmt: skip


@dataclass
class _Layer:
    """A layer with weights, as its rule uses it in the reverse pass."""

    rule: Rule
    operation: Operation
    weight: Tensor
    groups: int = 0  # of a transposed convolution, whose output channels are axis 1

    def scale(self, by: Tensor) -> None:
        """Multiply every output channel by `by` (channels,). Only its sign matters to rules that
        distribute among terms of one sign."""
        if self.rule in ("z+", "contrast"):
            if bool((by > 0).all()):
                return
            by = by.sign()
        ones = [1] * (self.weight.ndim - 2)
        if self.groups:
            inputs = len(self.weight) // self.groups
            factor = by.view(self.groups, 1, -1).expand(-1, inputs, -1)
            factor = factor.reshape(len(self.weight), -1, *ones)
        else:
            factor = by.view(-1, 1, *ones)
        self.weight = self.weight * factor


class _Rerouted(torch.autograd.Function):
    """compute(*inputs); backward gives the relevances send(r, *inputs)."""

    @staticmethod
    def forward(ctx: Any, compute: Callable[..., Tensor], send: Send, *inputs: Tensor) -> Tensor:
        ctx.send = send
        ctx.save_for_backward(*inputs)
        return compute(*inputs)

    @staticmethod
    def backward(ctx: Any, *relevance: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, *ctx.send(relevance[0], *ctx.saved_tensors)


class _Passed(torch.autograd.Function):
    """compute(x), which may return x itself; backward passes the relevance on unchanged."""

    @staticmethod
    def forward(ctx: Any, compute: Callable[..., Tensor], x: Tensor) -> Tensor:
        ctx.shape = x.shape
        out = compute(x)
        if out is x:
            ctx.mark_dirty(x)
        return out

    @staticmethod
    def backward(ctx: Any, *relevance: Tensor) -> tuple[Tensor | None, ...]:
        return None, relevance[0].sum_to_size(ctx.shape)


class Relevance:
    """Makes each call of a run (see naflow.run.tape.Execute) so that the gradients of its result
    are relevances, by `rules`.

    The reverse pass raises UnsupportedModel at an operation without a rule, naming it.
    """

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self._layers: list[_Layer] = []
        # By id; the tensors are kept, so that no id is used twice.
        self._made_by: dict[int, tuple[Tensor, _Layer]] = {}
        self._gates: dict[int, Tensor] = {}
        self._data: dict[int, Value] = {}
        self._was: Tensor | None = None  # the tensor that the call overwrites

    def settle(self) -> None:
        """After the run, set the rule of the last layer."""
        if self.rules.last is not None and self._layers:
            self._layers[-1].rule = self.rules.last
        self._made_by.clear()
        self._gates.clear()
        self._data = {}

    def __call__(
        self, name: str, func: Callable, args: tuple, kwargs: dict, data: dict[int, Value]
    ) -> Any:
        """Make the call; its result's gradient is a relevance. data: the values among its
        arguments, by id."""
        self._data = dict(data)
        self._was = next(iter(overwritten(func, args, kwargs)), None)

        def prepared(tensor: Tensor) -> Tensor:
            """Detach constants, which carry no relevance, and refuse opaque results."""
            value = data.get(id(tensor))
            if value is None:
                return tensor.detach() if tensor.requires_grad else tensor
            if value.operation is None or not value.operation.opaque:
                return tensor
            refusing = _refusing(tensor, value.operation.name)
            self._data[id(refusing)] = value
            return refusing

        args, kwargs = replaced(args, prepared, Tensor), replaced(kwargs, prepared, Tensor)
        if "input" in kwargs:
            args = (kwargs.pop("input"), *args)
        inputs = [t for t in tensors((args, kwargs)) if self._is_data(t)]
        out = self._apply(name, func, args, kwargs)
        if self._was is not None and isinstance(out, Tensor) and out is not self._was:
            out = self._was.copy_(out)  # later readers send their relevance to the call's result
        derived = name not in _LAYERS + _TRANSPOSED and all(id(t) in self._gates for t in inputs)
        if isinstance(out, Tensor) and (name in _GATES or derived):
            self._gates[id(out)] = out
        return out

    def _is_data(self, value: object) -> bool:
        return isinstance(value, Tensor) and id(value) in self._data

    def _apply(self, name: str, func: Callable, args: tuple, kwargs: dict) -> object:
        if name in _LAYERS or name in _TRANSPOSED:
            return self._layer(name, func, args, kwargs)
        if name == "batch_norm":
            return self._batch_norm(func, args, kwargs)
        if name in _PASS or (name in _DROPOUTS and _drops(func, args, kwargs)):
            return _passed(func, args, kwargs, 0)
        if name in _AVERAGES:
            return self._average(func, args, kwargs)
        if name in _SUMS or name in _PRODUCTS:
            return self._binary(name, func, args, kwargs)
        if name in _SUMS_OF_PRODUCTS:
            return self._sum_of_product(name, *args, **kwargs)
        out = func(*args, **kwargs)
        if name in _MOVES or name in _DROPOUTS:
            return out
        return replaced(out, lambda v: _refusing(v, name) if v.requires_grad else v, Tensor)

    def _layer(self, name: str, func: Callable, args: tuple, kwargs: dict) -> Tensor:
        x, w, bias, rest, named = _weighted(args, kwargs)

        def operation(x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
            return func(x, w, b, *rest, **named)

        rules = self.rules
        rule = rules.linear if name == "linear" else rules.conv
        if not self._layers and rules.first is not None:
            rule = rules.first
        groups = 0
        if name in _TRANSPOSED:
            groups = named.get("groups", rest[3] if len(rest) > 3 else 1)
        layer = _Layer(rule, operation, w, groups)

        def send(r: Tensor, x: Tensor) -> tuple[Tensor, ...]:
            return (rules.apply(layer.rule, r, x, layer.operation, layer.weight),)

        out = _Rerouted.apply(lambda x: operation(x, w, bias), send, x)
        self._layers.append(layer)
        self._made_by[id(out)] = (out, layer)
        return out

    def _batch_norm(self, func: Callable, args: tuple, kwargs: dict) -> Tensor:
        given = named(func, args, kwargs)
        _, layer = self._made_by.pop(id(args[0]), (None, None))
        fixed = given["running_var"] is not None and not given["training"]
        if layer is not None and fixed and self.rules.batch_norm == "fuse":
            scale = (given["running_var"] + given["eps"]).rsqrt()
            layer.scale(scale if given["weight"] is None else scale * given["weight"])
        return _passed(func, args, kwargs, 0)

    def _average(self, func: Callable, args: tuple, kwargs: dict) -> Tensor:
        def compute(x: Tensor, _: Tensor | None = None) -> Tensor:
            return func(x, *args[1:], **kwargs)

        def send(r: Tensor, x: Tensor) -> tuple[Tensor, ...]:
            return (share(r, compute, [(x, x)]),)

        return _Rerouted.apply(compute, send, args[0])

    def _binary(self, name: str, func: Callable, args: tuple, kwargs: dict) -> Tensor:
        if "other" in kwargs:
            args = (*args, kwargs.pop("other"))
        a, b = args[:2]
        if not (self._is_data(a) and self._is_data(b)):
            return _passed(func, args, kwargs, 0 if self._is_data(a) else 1)
        if a is self._was:
            a = a.clone()  # it is overwritten before the rule reads it
        if name in _SUMS:
            sign = (-1 if name == "sub" else 1) * kwargs.get("alpha", 1)
            return _Rerouted.apply(lambda a, b: a + sign * b, _split_sum(sign), a, b)
        if "div" in name:
            return _passed(func, args, kwargs, 0)
        first, second = (id(args[0]) in self._gates, id(b) in self._gates)
        if a.numel() != b.numel():
            return _passed(func, args, kwargs, 0 if a.numel() > b.numel() else 1)
        if first != second:
            return _passed(func, args, kwargs, 1 if first else 0)
        # Two signals get half each (assumed; any split of a product is a convention).
        return _Rerouted.apply(
            lambda a, b: a * b, lambda r, a, b: (_fit(r / 2, a), _fit(r / 2, b)), a, b
        )

    def _sum_of_product(
        self, name: str, first: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1
    ) -> Tensor:
        """Make the call as two operations, first + value * tensor1 * tensor2."""
        kind, pair = _SUMS_OF_PRODUCTS[name], (tensor1, tensor2)
        product = self._binary(kind, getattr(torch, kind), pair, {})
        known = next((self._data[id(t)] for t in pair if self._is_data(t)), None)
        if known is not None:
            self._data[id(product)] = known
        return self._binary("add", torch.add, (first, product), {"alpha": value})


def _refusing(x: Tensor, name: str) -> Tensor:
    """Return a copy of x that raises UnsupportedModel if relevance arrives. x comes from an
    operation without a rule: it may be part of a gate, which gets no relevance."""

    def send(r: Tensor, x: Tensor) -> tuple[Tensor, ...]:
        raise _no_rule(name)

    return _Rerouted.apply(lambda x: x.clone(), send, x)


def refuse_opaque(ran: Run, z: Tensor) -> None:
    """Raise UnsupportedModel if the output z was computed by an opaque operation."""
    for value in ran.behind(z):
        if value.operation is not None and value.operation.opaque:
            raise _no_rule(value.operation.name)


def _no_rule(name: str) -> UnsupportedModel:
    return UnsupportedModel(
        f"The model calls '{name}', for which relevance propagation has no rule: explain it "
        "with a method that needs gradients only, such as HiResCAM."
    )


def _passed(func: Callable, args: tuple, kwargs: dict, at: int) -> Tensor:
    """Call func; all relevance goes to argument `at`, the other arguments are constants."""

    def compute(x: Tensor) -> Tensor:
        return func(*args[:at], x, *args[at + 1 :], **kwargs)

    return _Passed.apply(compute, args[at])


def _drops(func: Callable, args: tuple, kwargs: dict) -> bool:
    """Whether a dropout is on. Its scale does not change the relevance."""
    given = named(func, args, kwargs)
    return given.get("training", given.get("train", args[2] if len(args) > 2 else True))


def _split_sum(sign: float) -> Send:
    def send(r: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, ...]:
        b = sign * b
        share_of_one = ratio(r, a + b)
        return _fit(a * share_of_one, a), _fit(b * share_of_one, b)

    return send


def _fit(r: Tensor, x: Tensor) -> Tensor:
    """Sum r over the axes along which x was broadcast."""
    return r.sum_to_size(x.shape)


def _weighted(args: tuple, kwargs: dict) -> tuple[Tensor, Tensor, Tensor | None, tuple, dict]:
    """Split the arguments of a convolution or linear layer into input, weight, bias and others."""
    named = dict(kwargs)
    weight = args[1] if len(args) > 1 else named.pop("weight")
    bias = args[2] if len(args) > 2 else named.pop("bias", None)
    return args[0], weight, bias, args[3:], named
