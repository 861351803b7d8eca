"""The record of a run while it happens: every operation on data, and the module that it ran under.

A TorchFunctionMode sees each call of PyTorch from Python. What it cannot see (an autograd.Function,
scripted code, an operation in C++) is found where its result is used: a tensor that nobody recorded
is linked through the autograd graph to the values it came from, and counts as an opaque operation.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules import module as every_module
from torch.overrides import TorchFunctionMode

from naflow.run.operation import Operation, Value, canonical, overwrites, replaced, tensors

#: (name, function, args, kwargs, the values among the arguments by their id) -> what it returns
Execute = Callable[[str, Callable, tuple, dict[str, Any], dict[int, Value]], Any]

#: What is asked of a tensor, or hung on it, and makes no data.
_ASKS = frozenset(
    {
        "size", "dim", "ndimension", "numel", "nelement", "stride", "storage_offset", "__len__",
        "is_floating_point", "is_complex", "is_contiguous", "is_inference", "element_size",
        "is_same_size",
        "__hash__", "__repr__", "__format__", "__bool__", "item", "tolist", "numpy", "get_device",
        "register_hook", "retain_grad", "requires_grad_", "register_post_accumulate_grad_hook",
        "data_ptr", "untyped_storage", "is_set_to", "backward", "__set__", "__delete__",
    }
)  # fmt: skip
_VIEWS = frozenset({"T", "mT", "H", "mH", "data", "real", "imag"})  # properties that are tensors


class _Known(NamedTuple):
    """What is known of a tensor object: its value (None: it does not depend on the images)."""

    value: Value | None
    version: int
    alive: weakref.ref


class Tape(TorchFunctionMode):
    """Inside: what the model does with data is written down.

    execute  runs a call in place of the call itself, see naflow.explainers.propagation

    operations  in order; values  in order, the images first
    """

    def __init__(self, model: nn.Module, execute: Execute | None = None) -> None:
        super().__init__()
        self.operations: list[Operation] = []
        self.values: list[Value] = []
        self._execute = execute
        self._paths = {id(module): path for path, module in model.named_modules()}
        self._running: list[tuple[str, int]] = []  # modules: their path, the values before them
        self._known: dict[int, _Known] = {}
        self._at: dict[tuple[Any, int], Value] = {}  # by the place in the autograd graph
        self._stored: dict[int, list[Value]] = {}  # by the storage that they share

    def begin(self, images: Tensor) -> None:
        """Count this tensor as data; it has a place in the autograd graph."""
        self._new(images, None)

    @contextmanager
    def watching(self) -> Generator[None]:
        """Inside: this thread's operations and module calls are recorded."""
        thread = threading.get_ident()

        def before(module: nn.Module, _: tuple) -> None:
            path = self._paths.get(id(module))
            if path is not None and threading.get_ident() == thread:
                self._running.append((path, len(self.values)))

        def after(module: nn.Module, _: tuple, output: Any) -> None:
            if id(module) in self._paths and threading.get_ident() == thread and self._running:
                self._returned(*self._running.pop(), output)

        hooks = (
            every_module.register_module_forward_pre_hook(before),
            every_module.register_module_forward_hook(after, always_call=True),
        )
        try:
            with self:
                yield
        finally:
            for hook in hooks:
                hook.remove()

    def value_of(self, tensor: Tensor) -> Value | None:
        """The value that a tensor holds now; None where no gradient leads to the images."""
        if not tensor.requires_grad:
            return None
        known = self._known.get(id(tensor))
        if known is not None and known.version == tensor._version:
            return known.value
        return self._linked(tensor)

    def behind(self, tensor: Tensor) -> list[Value]:
        """The values nearest to a tensor on every way back to the images."""
        found: dict[Value, None] = {}
        seen, stack = set(), [(tensor.grad_fn, tensor.output_nr)]
        while stack:
            place = stack.pop()
            if place[0] is None or place in seen:
                continue
            seen.add(place)
            if place in self._at:
                found[self._at[place]] = None
            else:
                stack += place[0].next_functions
        return list(found)

    def __torch_function__(
        self, func: Callable, types: object, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name == "register_hook" and (value := self.value_of(args[0])) is not None:
            args = (args[0], partial(_called_once, value, *args[1:], **kwargs))
            return func(*args)
        if name in _ASKS or (name == "__get__" and canonical(func) not in _VIEWS):
            return func(*args, **kwargs)
        given = tensors((args, kwargs))
        data = {id(t): value for t in given if (value := self.value_of(t)) is not None}
        if not data:
            return func(*args, **kwargs)
        return self._recorded(func, args, kwargs, given, data)

    def _recorded(
        self,
        func: Callable,
        args: tuple,
        kwargs: dict[str, Any],
        given: list[Tensor],
        data: dict[int, Value],
    ) -> Any:
        name, in_place = canonical(func), overwrites(func, args, kwargs)
        if in_place:
            self._about_to_overwrite(given[0])
        versions = [_version(t) for t in given]
        if self._execute is None:
            out = func(*args, **kwargs)
        else:
            out = self._execute(name, func, args, kwargs, data)
        # What it returned or wrote into, but for an argument that it only handed on.
        passed, made = set(), {}
        for tensor, version in zip(given, versions, strict=True):
            if _version(tensor) == version:
                passed.add(id(tensor))
        candidates = [*tensors(out), *given]
        for place, tensor in enumerate(candidates):
            new = id(tensor) not in passed and id(tensor) not in made
            if new and tensor.requires_grad and tensor.grad_fn is not None:
                made[id(tensor)] = place
        if not made:
            return out

        def value(tensor: Any) -> Any:
            return data.get(id(tensor), tensor)

        operation = Operation(
            name,
            func,
            replaced(args, value, Tensor),
            replaced(kwargs, value, Tensor),
            self._running[-1][0] if self._running else "",
            inputs=list(dict.fromkeys(data.values())),
            in_place=in_place,
        )
        operation.places = list(made.values())
        operation.results = [self._new(candidates[place], operation) for place in operation.places]
        self.operations.append(operation)
        return out

    def _new(self, tensor: Tensor, operation: Operation | None) -> Value:
        value = Value(tensor, operation, len(self.values))
        self.values.append(value)
        self._at[value.edge.node, value.edge.output_nr] = value
        self._stored.setdefault(tensor.untyped_storage()._cdata, []).append(value)
        self._remember(tensor, value)
        return value

    def _remember(self, tensor: Tensor, value: Value | None) -> None:
        key = id(tensor)
        alive = weakref.ref(tensor, partial(self._forget, key))
        self._known[key] = _Known(value, tensor._version, alive)

    def _forget(self, key: int, dead: weakref.ref) -> None:
        known = self._known.get(key)
        if known is not None and known.alive is dead:
            del self._known[key]

    def _about_to_overwrite(self, tensor: Tensor) -> None:
        for value in self._stored.pop(tensor.untyped_storage()._cdata, ()):
            value.keep_copy()

    def _linked(self, tensor: Tensor) -> Value | None:
        """The value of a tensor that no recorded operation returned in its present state."""
        if tensor.grad_fn is None:
            return None
        value = self._at.get((tensor.grad_fn, tensor.output_nr))
        inputs = self.behind(tensor) if value is None else []
        if inputs:
            name = tensor.grad_fn.name().removesuffix("Backward")
            scope = self._running[-1][0] if self._running else ""
            operation = Operation(name, None, tuple(inputs), {}, scope, inputs=inputs)
            value = self._new(tensor, operation)
            operation.results = [value]
            self.operations.append(operation)
        else:
            self._remember(tensor, value)
        return value

    def _returned(self, path: str, before: int, output: Any) -> None:
        if not isinstance(output, Tensor) or not path:
            return
        known = self._known.get(id(output))
        with torch._C.DisableTorchFunction():
            still = known is not None and known.version == output._version
            value = known.value if known is not None and still else self.value_of(output)
        if value is not None and value.number >= before:
            value.modules.append(path)


def _called_once(
    value: Value, hook: Callable[[Tensor], Tensor | None], gradient: Tensor
) -> Tensor | None:
    """A model's own hook on a gradient, which changes it once, where it arrives."""
    return None if value.begins else hook(gradient)


def _version(tensor: Tensor) -> int:
    return -1 if tensor.is_inference() else tensor._version


def keep_only(values: Iterable[Value], wanted: Iterable[Value]) -> None:
    """Keep the numbers of the wanted values, and let the others go."""
    wanted = list(wanted)
    for value in wanted:
        value.keep()
    for value in set(values).difference(wanted):
        value.release()
