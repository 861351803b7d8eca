"""The record of a run: operations on tensors that depend on the images, and their values."""

from __future__ import annotations

import inspect
import math
import operator
import weakref
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

from naflow.errors import UnsupportedModel

#: Operations whose results are not kept while the model runs. They are recomputed, in one pass over
#: memory, from their inputs, which autograd keeps anyway.
_MADE_AGAIN = frozenset({"batch_norm"})


#: Makes Python own a tensor object again that only C++ owned.
_owned: Callable[[Tensor], None] = getattr(Tensor, "_fix_weakref", lambda tensor: None)


def _gone() -> Tensor | None:
    """Stands for a weak reference to a tensor that no longer exists."""
    return None


class Value:
    """A tensor of the run that depends on the images.

    place      its node in the model's autograd graph, and which output of that node it is
    operation  the operation that computed it; None for the images
    number     its position in the order of the run
    modules    the paths of the modules that returned it, innermost first
    axes       where its axes come from, see naflow.run.cut.trace_axes
    begins     True while a reverse pass begins here with a gradient that its hooks have seen
    released   whether it was released: its tensor may be gone
    """

    __slots__ = (
        "_held", "_seen", "_version", "axes", "begins", "device", "dtype", "modules", "number",
        "operation", "place", "released", "shape",
    )  # fmt: skip

    def __init__(self, tensor: Tensor, operation: Operation | None, number: int) -> None:
        assert tensor.grad_fn is not None
        self.place = tensor.grad_fn, tensor.output_nr
        self.operation = operation
        self.number = number
        self.shape, self.dtype, self.device = tensor.shape, tensor.dtype, tensor.device
        self.modules: list[str] = []
        self.axes: tuple[int, ...] = ()
        self.begins = self.released = False
        again = operation is not None and operation.name in _MADE_AGAIN
        self._held: Tensor | None = None if again else tensor
        self._seen: Callable[[], Tensor | None] = weakref.ref(tensor)
        self._version = tensor._version

    @property
    def edge(self) -> GradientEdge:
        """Its `place`, as torch.autograd.grad takes it."""
        return GradientEdge(*self.place)

    def numel(self) -> int:
        """Return the number of elements of one image."""
        return math.prod(self.shape[1:])

    def keep_copy(self) -> None:
        """Copy the tensor, as it is about to be overwritten."""
        now = self._current()
        if self._held is None:
            self._seen = _gone  # it will be recomputed
        elif now is not None:
            self._held = now.detach().clone()
            self._version = self._held._version

    def keep(self) -> None:
        """Hold the tensor, recomputed if necessary, so that its inputs can be released."""
        self._held = self.tensor()
        self._version = self._held._version

    def release(self) -> None:
        """Stop holding the tensor."""
        self._held, self.released = None, True

    def tensor(self) -> Tensor:
        """Return the tensor as its operation computed it, detached.

        Raises UnsupportedModel if code that could not be watched has overwritten it.
        """
        now = self._current()
        if now is not None:
            return now.detach()
        made_by = self.operation
        if made_by is None or made_by.name not in _MADE_AGAIN:
            called = made_by.scope or made_by.name if made_by else "the input"
            where = self.modules[0] if self.modules else called
            raise UnsupportedModel(
                f"The output of '{where}' is overwritten in place by an operation that cannot be "
                "watched (compiled, scripted or custom code): make that operation out of place."
            )
        with torch.no_grad():
            results = made_by.again(lambda value: value.tensor())
        return results[made_by.results.index(self)]

    def _current(self) -> Tensor | None:
        tensor = self._held
        if tensor is None:
            tensor = self._seen()
            if tensor is not None:
                _owned(tensor)
        return tensor if tensor is not None and tensor._version == self._version else None


class Operation:
    """One recorded call.

    name      what was called, without underscores and in-place marks: "conv2d", "add"
    function  the function that was called; None if only its result was seen (opaque)
    scope     the path of the module that it ran in, "" for the model itself
    args, kwargs  its arguments, with values in the place of their tensors
    inputs    the values among its arguments, each once
    results   the values that it computed
    """

    __slots__ = (
        "_arguments", "args", "function", "in_place", "inputs", "kwargs", "name", "places",
        "results", "scope",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        function: Callable | None,
        args: tuple,
        kwargs: dict[str, Any],
        scope: str,
        *,
        inputs: list[Value],
        in_place: bool = False,
    ) -> None:
        self.name, self.function, self.scope = name, function, scope
        self.args, self.kwargs = args, kwargs
        self.in_place = in_place
        self.inputs = inputs
        self.results: list[Value] = []
        self.places: list[int] = []  # of the results, among the tensors returned and then given
        self._arguments: dict[str, Any] | None = None

    @property
    def opaque(self) -> bool:
        """Whether only the result of the call was seen."""
        return self.function is None

    @property
    def arguments(self) -> dict[str, Any]:
        """Its arguments by name, as torch.nn.functional names them, defaults filled in."""
        if self._arguments is None and self.function is not None:
            self._arguments = named(self.function, self.args, self.kwargs)
        return self._arguments or {}

    def again(self, given: Callable[[Value], Tensor]) -> list[Tensor]:
        """Run the call again with `given(value)` in the place of each input, and return its
        results. No argument is overwritten.

        Raises UnsupportedModel for an opaque operation.
        """
        function = self.function
        if function is None:
            raise UnsupportedModel(
                f"'{self.name}' in '{self.scope or 'the model'}' cannot be run again: PyTorch "
                "shows only the results of this code."
            )
        args, kwargs = replaced(self.args, given), replaced(self.kwargs, given)
        if self.in_place:
            copies = {id(t): t.clone() for t in overwritten(function, args, kwargs)}

            def kept(tensor: Tensor) -> Tensor:
                return copies.get(id(tensor), tensor)

            args, kwargs = replaced(args, kept, Tensor), replaced(kwargs, kept, Tensor)
        out = function(*args, **kwargs)
        candidates = [*tensors(out), *tensors((args, kwargs))]
        return [candidates[place] for place in self.places]


@lru_cache(maxsize=4096)
def canonical(function: Callable) -> str:
    """Return one name for all forms of a function: "add" for torch.add, Tensor.__iadd__, x += 1."""
    name = getattr(function, "__name__", type(function).__name__)
    if name == "__get__":
        name = getattr(getattr(function, "__self__", None), "__name__", name)
    name = name.split(".")[0].strip("_").removesuffix("_with_indices")  # torch.ops: "relu.default"
    return _ALIASES.get(name, name)


_ALIASES = {
    "iadd": "add", "radd": "add", "isub": "sub", "imul": "mul", "rmul": "mul", "multiply": "mul",
    "subtract": "sub", "truediv": "div", "itruediv": "div", "idiv": "div", "divide": "div",
    "true_divide": "div", "rtruediv": "rdiv", "concat": "cat", "concatenate": "cat",
    "log_sigmoid": "logsigmoid", "clip": "clamp", "special_expit": "sigmoid",
}  # fmt: skip


def named(function: Callable, args: tuple, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call under the names of torch.nn.functional, with defaults; for a
    builtin not listed here, only the keyword arguments."""
    name = canonical(function)
    known = _ARGUMENTS.get(name)
    if known is None and inspect.isfunction(function):
        bound = inspect.signature(function).bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.arguments
    if known is None and name == "batch_norm":
        known = _TORCH_BATCH_NORM
    return kwargs if known is None else known | dict(zip(known, args, strict=False)) | kwargs


def overwritten(function: Callable, args: tuple, kwargs: dict[str, Any]) -> list[Tensor]:
    """Return the tensors that a call changes in place, judged by its form: `out`, the first tensor,
    or, in most cases, none."""
    if kwargs.get("out") is not None:
        return tensors(kwargs["out"])
    place = _place_of_inplace(function)
    if (
        _named_in_place(function)
        or kwargs.get("inplace") is True
        or (place is not None and place < len(args) and args[place] is True)
    ):
        return tensors((args, kwargs))[:1]
    return []


@lru_cache(maxsize=4096)
def _named_in_place(function: Callable) -> bool:
    name = getattr(function, "__name__", "")
    return name in _IN_PLACE or (name.endswith("_") and not name.endswith("__"))


_IN_PLACE = frozenset(
    {"__setitem__", *(f"__i{name}__" for name in ("add", "sub", "mul", "div", "truediv", "pow"))}
)


@lru_cache(maxsize=4096)
def _place_of_inplace(function: Callable) -> int | None:
    """Return the position of the argument `inplace` of a function, None if it has none."""
    if not inspect.isfunction(function):
        return None
    names = list(inspect.signature(function, follow_wrapped=False).parameters)
    return names.index("inplace") if "inplace" in names else None


def tensors(value: object) -> list[Tensor]:
    """Return the tensors in arguments or results, in order."""
    collected: list[Tensor] = []
    _collect((value,), collected)
    return collected


def _collect(items: Iterable, collected: list[Tensor]) -> None:
    for item in items:
        if type(item) in _SCALARS:
            continue
        if isinstance(item, Tensor):
            collected.append(item)
        elif isinstance(item, (tuple, list)):
            _collect(item, collected)
        elif isinstance(item, dict):
            _collect(item.values(), collected)


def replaced(arguments: Any, by: Callable[[Any], Any], kind: type = Value) -> Any:
    """Return the arguments with each item x of type `kind` replaced by by(x)."""
    if type(arguments) in _SCALARS:
        return arguments
    if isinstance(arguments, kind):
        return by(arguments)
    if isinstance(arguments, (tuple, list)):
        items = [item if type(item) in _SCALARS else replaced(item, by, kind) for item in arguments]
        if type(arguments) is list:
            return items
        if not any(map(operator.is_not, items, arguments)):
            return arguments  # torch.Size stays
        if hasattr(arguments, "_fields"):
            return type(arguments)(*items)
        of_torch = hasattr(arguments, "n_fields")  # torch.return_types, whose fields have names
        return type(arguments)(items) if of_torch else tuple(items)
    if isinstance(arguments, dict):
        return {key: replaced(item, by, kind) for key, item in arguments.items()}
    return arguments


#: Types that hold no tensor; most arguments have one of these.
_SCALARS = frozenset({int, float, bool, str, type(None), torch.dtype, torch.device, slice})


_CONV = {
    "input": None, "weight": None, "bias": None, "stride": 1, "padding": 0, "dilation": 1,
    "groups": 1,
}  # fmt: skip
_TRANSPOSED = {
    "input": None, "weight": None, "bias": None, "stride": 1, "padding": 0, "output_padding": 0,
    "groups": 1, "dilation": 1,
}  # fmt: skip
_ADAPTIVE = {"input": None, "output_size": None, "return_indices": False}
_POOL = {
    "input": None, "kernel_size": None, "stride": None, "padding": 0, "dilation": 1,
    "ceil_mode": False, "return_indices": False,
}  # fmt: skip

#: Arguments of builtin or dispatched functions, whose names inspect cannot find.
_ARGUMENTS: dict[str, dict[str, Any]] = {
    **{f"conv{rank}d": _CONV for rank in (1, 2, 3)},
    **{f"conv_transpose{rank}d": _TRANSPOSED for rank in (1, 2, 3)},
    **{f"max_pool{rank}d": _POOL for rank in (1, 2, 3)},
    **{f"adaptive_max_pool{rank}d": _ADAPTIVE for rank in (1, 2, 3)},
    "linear": {"input": None, "weight": None, "bias": None},
    "leaky_relu": {"input": None, "negative_slope": 0.01},
    "prelu": {"input": None, "weight": None},
    "rrelu": {"input": None, "lower": 1 / 8, "upper": 1 / 3, "training": False},
    "elu": {"input": None, "alpha": 1.0},
    "celu": {"input": None, "alpha": 1.0},
    "hardtanh": {"input": None, "min_val": -1.0, "max_val": 1.0},
    "clamp": {"input": None, "min": None, "max": None},
    "softplus": {"input": None, "beta": 1.0, "threshold": 20.0},
    "add": {"input": None, "other": None, "alpha": 1},
    "sub": {"input": None, "other": None, "alpha": 1},
}
_TORCH_BATCH_NORM = {
    "input": None, "weight": None, "bias": None, "running_mean": None, "running_var": None,
    "training": False, "momentum": 0.1, "eps": 1e-5, "cudnn_enabled": True,
}  # fmt: skip
