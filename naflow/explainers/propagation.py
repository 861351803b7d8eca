"""A chain whose gradients are relevances: LRP through any CNN, with no code for any model.

Every operation of the forward pass is replaced by itself with another backward, the rule of its
kind. Reverse-mode differentiation then carries relevance instead of gradients through skips,
branches and reused modules, and one reverse pass gives it at every cut point.

    convolution, linear        a rule of rules.py
    batch norm                 passes; its scale joins the layer before it (Rules.batch_norm)
    other norms, activations   pass R unchanged (that they may: assumed, as everywhere in LRP)
    sums a + b, a - b          a R / (a + b), b R / (a + b), signed and stabilised
    products a * gate          all of R to a, the gate is a constant (assumed: signal takes all)
    averages, sums over space  in proportion to the inputs, signed and stabilised
    max pool, concatenation, reshaping, padding, interpolation   their own gradient is the rule
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from naflow.chain import Chain
from naflow.errors import UnsupportedModel
from naflow.explainers.rules import Operation, Rule, Rules, ratio, share
from naflow.trace import function_name

Send = Callable[..., tuple[Tensor, ...]]

_LAYERS = ("conv1d", "conv2d", "conv3d", "linear")
_TRANSPOSED = ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
_GATES = ("sigmoid", "hardsigmoid", "softmax", "tanh")
_PASS = (
    *_GATES, "relu", "relu6", "hardtanh", "leaky_relu", "rrelu", "prelu", "elu", "celu", "selu",
    "gelu", "silu", "mish", "hardswish", "softplus", "softsign", "logsigmoid", "log_softmax",
    "threshold", "clamp", "neg", "layer_norm", "group_norm", "instance_norm",
    "local_response_norm", "normalize",
)  # fmt: skip
_AVERAGES = (
    "avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d", "adaptive_avg_pool2d",
    "adaptive_avg_pool3d", "mean", "sum",
)  # fmt: skip
_SUMS = ("add", "iadd", "radd", "sub", "isub", "rsub")
_PRODUCTS = ("mul", "imul", "rmul", "multiply", "div", "divide", "truediv", "itruediv")
_MOVES = (
    "max_pool1d", "max_pool2d", "max_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d",
    "adaptive_max_pool3d", "max", "amax", "maximum", "interpolate", "upsample", "cat", "concat",
    "concatenate", "stack", "pad", "view", "view_as", "reshape", "reshape_as", "flatten",
    "unflatten", "permute", "transpose", "swapaxes", "movedim", "squeeze", "unsqueeze", "getitem",
    "select", "narrow", "index_select", "chunk", "split", "split_with_sizes", "unbind", "expand",
    "expand_as", "repeat", "repeat_interleave", "roll", "flip", "contiguous", "clone", "to",
    "float", "double", "type", "type_as", "pixel_shuffle", "pixel_unshuffle", "channel_shuffle",
    "native_channel_shuffle", "dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout",
    "feature_alpha_dropout", "feature_dropout",
)  # fmt: skip


class RelevanceChain(Chain):
    """The same units; gradients of what `forward` returns are relevances, by `rules`.

    The reverse pass raises UnsupportedModel, naming it, at an operation without a rule.
    """

    def __init__(self, chain: Chain, rules: Rules) -> None:
        self.model, self.units, self.in_line = chain.model, chain.units, chain.in_line
        self.rules = rules

    def forward(
        self, images: Tensor, opened: Collection[str] = ()
    ) -> tuple[list[Tensor], dict[str, dict[str, Tensor]], Any]:
        propagation = _Propagation(self.rules)
        with propagation:
            made = super().forward(images, opened)
        if self.rules.last is not None and propagation.layers:
            propagation.layers[-1].rule = self.rules.last
        return made


@dataclass
class _Layer:
    """A layer with weights as its rule sees it, at the time of the reverse pass."""

    rule: Rule
    operation: Operation
    weight: Tensor
    groups: int = 0  # of a transposed convolution, whose output channels are axis 1

    def scale(self, by: Tensor) -> None:
        """Multiply every output channel, by (channels,)."""
        ones = [1] * (self.weight.ndim - 2)
        if self.groups:
            inputs = len(self.weight) // self.groups
            factor = by.view(self.groups, 1, -1).expand(-1, inputs, -1)
            factor = factor.reshape(len(self.weight), -1, *ones)
        else:
            factor = by.view(-1, 1, *ones)
        self.weight = self.weight * factor


class _Rerouted(torch.autograd.Function):
    """compute(*inputs), and backward the relevances send(r, *inputs)."""

    @staticmethod
    def forward(ctx: Any, compute: Callable[..., Tensor], send: Send, *inputs: Tensor) -> Tensor:
        ctx.send = send
        ctx.save_for_backward(*inputs)
        return compute(*inputs)

    @staticmethod
    def backward(ctx: Any, *relevance: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, *ctx.send(relevance[0], *ctx.saved_tensors)


class _Propagation(TorchFunctionMode):
    """Inside: every operation on data that depend on the images carries its relevance rule."""

    def __init__(self, rules: Rules) -> None:
        super().__init__()
        self.rules = rules
        self.layers: list[_Layer] = []
        # By identity; the tensors are kept, so that an identity is never given twice.
        self._made_by: dict[int, tuple[Tensor, _Layer]] = {}
        self._gates: dict[int, Tensor] = {}

    def __torch_function__(
        self, func: Callable, types: object, args: tuple = (), kwargs: dict | None = None
    ) -> object:
        args, kwargs = _constants(args), _constants(kwargs or {})
        data = list(_data((args, kwargs)))
        if not data:
            return func(*args, **kwargs)
        if "input" in kwargs:
            args = (kwargs.pop("input"), *args)
        name = function_name(func).strip("_")
        out = self._apply(name, func, args, kwargs)
        derived = name not in _LAYERS + _TRANSPOSED and all(id(t) in self._gates for t in data)
        if isinstance(out, Tensor) and (name in _GATES or derived):
            self._gates[id(out)] = out
        return out

    def _apply(self, name: str, func: Callable, args: tuple, kwargs: dict) -> object:
        if name in _LAYERS or name in _TRANSPOSED:
            return self._layer(name, func, args, kwargs)
        if name == "batch_norm":
            return self._batch_norm(func, args, kwargs)
        if name in _PASS:
            return _passed(func, args, kwargs, 0)
        if name in _AVERAGES:
            return self._average(func, args, kwargs)
        if name in _SUMS or name in _PRODUCTS:
            return self._binary(name, func, args, kwargs)
        out = func(*args, **kwargs)
        if name in _MOVES:
            return out
        return tree_map(lambda v: _refusing(v, name) if _is_data(v) else v, out)

    def _layer(self, name: str, func: Callable, args: tuple, kwargs: dict) -> Tensor:
        x, w, bias, rest, named = _weighted(args, kwargs)

        def operation(x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
            return func(x, w, b, *rest, **named)

        rules = self.rules
        rule = rules.linear if name == "linear" else rules.conv
        if not self.layers and rules.first is not None:
            rule = rules.first
        groups = 0
        if name in _TRANSPOSED:
            groups = named.get("groups", rest[3] if len(rest) > 3 else 1)
        layer = _Layer(rule, operation, w, groups)

        def send(r: Tensor, x: Tensor) -> tuple[Tensor, ...]:
            return (rules.apply(layer.rule, r, x, layer.operation, layer.weight),)

        out = _Rerouted.apply(lambda x: operation(x, w, bias), send, x)
        self.layers.append(layer)
        self._made_by[id(out)] = (out, layer)
        return out

    def _batch_norm(self, func: Callable, args: tuple, kwargs: dict) -> Tensor:
        settings = _BATCH_NORM.bind(*args, **kwargs)
        settings.apply_defaults()
        given = settings.arguments
        _, layer = self._made_by.pop(id(args[0]), (None, None))
        fixed = given["running_var"] is not None and not given["training"]
        if layer is not None and fixed and self.rules.batch_norm == "fuse":
            scale = (given["running_var"] + given["eps"]).rsqrt()
            layer.scale(scale if given["weight"] is None else scale * given["weight"])
        return _passed(func, args, kwargs, 0)

    def _average(self, func: Callable, args: tuple, kwargs: dict) -> Tensor:
        epsilon = self.rules.epsilon

        def compute(x: Tensor, _: Tensor | None = None) -> Tensor:
            return func(x, *args[1:], **kwargs)

        def send(r: Tensor, x: Tensor) -> tuple[Tensor, ...]:
            return (share(r, compute, [(x, x)], epsilon),)

        return _Rerouted.apply(compute, send, args[0])

    def _binary(self, name: str, func: Callable, args: tuple, kwargs: dict) -> Tensor:
        if "other" in kwargs:
            args = (*args, kwargs.pop("other"))
        a, b = args[:2]
        if not (_is_data(a) and _is_data(b)):
            return _passed(func, args, kwargs, 0 if _is_data(a) else 1)
        if name in _SUMS:
            sign = (-1 if name in ("sub", "isub") else 1) * kwargs.get("alpha", 1)
            return _Rerouted.apply(
                lambda a, b: a + sign * b, _split_sum(sign, self.rules.epsilon), a, b
            )
        if "div" in name:
            return _passed(func, args, kwargs, 0)
        first, second = (id(a) in self._gates, id(b) in self._gates)
        if a.numel() != b.numel():
            return _passed(func, args, kwargs, 0 if a.numel() > b.numel() else 1)
        if first != second:
            return _passed(func, args, kwargs, 1 if first else 0)
        # Two signals: half each (assumed; any split of a product is a convention).
        return _Rerouted.apply(
            lambda a, b: a * b, lambda r, a, b: (_fit(r / 2, a), _fit(r / 2, b)), a, b
        )


def _refusing(x: Tensor, name: str) -> Tensor:
    """x, from an operation without a rule: it may be part of a gate, but no relevance may come."""

    def send(r: Tensor, x: Tensor) -> tuple[Tensor, ...]:
        raise UnsupportedModel(
            f"The model calls '{name}', for which relevance propagation has no rule: explain it "
            "with a method that needs gradients only, such as HiResCAM."
        )

    return _Rerouted.apply(lambda x: x.clone(), send, x)


_BATCH_NORM = inspect.signature(F.batch_norm)


def _passed(func: Callable, args: tuple, kwargs: dict, at: int) -> Tensor:
    """func, all of its relevance handed to argument `at`, the other arguments constants."""

    def compute(x: Tensor) -> Tensor:
        x = x.clone() if _in_place(func, args, kwargs) else x
        return func(*args[:at], x, *args[at + 1 :], **kwargs)

    return _Rerouted.apply(compute, lambda r, x: (_fit(r, x),), args[at])


def _split_sum(sign: float, epsilon: float) -> Send:
    def send(r: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, ...]:
        b = sign * b
        share_of_one = ratio(r, a + b, epsilon)
        return _fit(a * share_of_one, a), _fit(b * share_of_one, b)

    return send


def _fit(r: Tensor, x: Tensor) -> Tensor:
    """Sum what was broadcast."""
    return r.sum_to_size(x.shape)


def _in_place(func: Callable, args: tuple, kwargs: dict) -> bool:
    name = function_name(func)
    own = name.endswith("_") and not name.endswith("__")
    own = own or name.startswith("__i")
    return own or kwargs.get("inplace", False) is True or any(a is True for a in args[1:])


def _weighted(args: tuple, kwargs: dict) -> tuple[Tensor, Tensor, Tensor | None, tuple, dict]:
    """Input, weight, bias and the rest of a convolution's or linear layer's arguments."""
    named = dict(kwargs)
    weight = args[1] if len(args) > 1 else named.pop("weight")
    bias = args[2] if len(args) > 2 else named.pop("bias", None)
    return args[0], weight, bias, args[3:], named


def _constants(arguments: Any) -> Any:
    """Parameters without their gradients: of what is left, only data depend on the images."""
    return tree_map(lambda v: v.detach() if isinstance(v, nn.Parameter) else v, arguments)


def _is_data(value: object) -> bool:
    return isinstance(value, Tensor) and value.requires_grad


def _data(value: object) -> Iterator[Tensor]:
    if isinstance(value, (tuple, list)):
        for v in value:
            yield from _data(v)
    elif isinstance(value, dict):
        yield from _data(list(value.values()))
    elif isinstance(value, Tensor) and value.requires_grad:
        yield value
