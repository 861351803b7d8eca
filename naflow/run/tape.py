"""The record of a run while it happens: every operation on data, and the module that it ran under.

A TorchFunctionMode sees each call of PyTorch from Python. What it cannot see (an autograd.Function,
scripted code, an operation in C++) is found where its result is used: a tensor that nobody recorded
is linked through the autograd graph to the values it came from, and counts as an opaque operation.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as every_module
from torch.overrides import TorchFunctionMode

from naflow.run.operation import Operation, Value, canonical, overwritten, replaced, tensors

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
        "__array__", "__dlpack__",
        "grad",  # torch.autograd.grad, which cannot be called again: the graph holds what it gives
    }
)  # fmt: skip
_HANDS_OUT = frozenset({"numpy", "array", "dlpack"})  # memory, which may then be changed
_VIEWS = frozenset({"T", "mT", "H", "mH", "data", "real", "imag"})  # properties that are tensors


@lru_cache(maxsize=4096)
def _asks(func: Callable) -> bool:
    name = getattr(func, "__name__", "")
    return name in _ASKS or (name == "__get__" and canonical(func) not in _VIEWS)


class Tape(TorchFunctionMode):
    """Inside: what the model does with data is written down.

    execute  runs a call in place of the call itself, see naflow.explainers.propagation

    operations  in order; values  in order, the images first
    sequences   the paths of bare nn.Sequentials
    """

    def __init__(self, model: nn.Module, execute: Execute | None = None) -> None:
        super().__init__()
        self.operations: list[Operation] = []
        self.values: list[Value] = []
        self._execute = execute
        modules = list(model.named_modules())
        self.sequences = {path for path, module in modules if type(module) is nn.Sequential}
        self._paths = {id(module): path for path, module in modules}
        self._running: list[tuple[str, int]] = []  # modules: their path, the values before them
        #: What is at a place of the autograd graph; None: nothing that depends on the images.
        self._at: dict[tuple[Any, int], Value | None] = {}
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
        place = tensor.grad_fn, tensor.output_nr
        if place[0] is None:
            return None
        return self._at[place] if place in self._at else self._linked(tensor)

    def behind(self, tensor: Tensor) -> list[Value]:
        """The values nearest to a tensor on every way back to the images."""
        found: dict[Value, None] = {}
        seen, stack = set(), [(tensor.grad_fn, tensor.output_nr)]
        while stack:
            place = stack.pop()
            if place[0] is None or place in seen:
                continue
            seen.add(place)
            if place not in self._at:
                stack += place[0].next_functions
            elif (value := self._at[place]) is not None:
                found[value] = None
        return list(found)

    def __torch_function__(
        self, func: Callable, types: object, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if _asks(func):
            if canonical(func) in _HANDS_OUT:
                self._keep_copies(args[0])
            if func is Tensor.register_hook and (value := self.value_of(args[0])) is not None:
                return func(args[0], partial(_called_once, value, *args[1:], **kwargs))
            return func(*args, **kwargs)
        given = tensors((args, kwargs))
        data = {id(t): value for t in given if (value := self.value_of(t)) is not None}
        if not data:
            self._about_to_overwrite(func, args, kwargs)  # as in x.data.relu_()
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
        name, in_place = canonical(func), self._about_to_overwrite(func, args, kwargs)
        versions = _versions(given)
        if self._execute is None:
            out = func(*args, **kwargs)
        else:
            out = self._execute(name, func, args, kwargs, data)
        # What it returned or wrote into, but for an argument that it only handed on.
        known = {
            id(tensor)
            for tensor, before, now in zip(given, versions, _versions(given), strict=True)
            if before == now
        }
        made = {}
        for place, tensor in enumerate([*tensors(out), *given]):
            if id(tensor) not in known and tensor.grad_fn is not None:
                known.add(id(tensor))
                made[place] = tensor
        if not made:
            return out

        def value(tensor: Tensor) -> Value | Tensor:
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
        operation.places = list(made)
        operation.results = [self._new(tensor, operation) for tensor in made.values()]
        self.operations.append(operation)
        return out

    def _new(self, tensor: Tensor, operation: Operation | None) -> Value:
        value = Value(tensor, operation, len(self.values))
        self.values.append(value)
        self._at[value.place] = value
        self._stored.setdefault(tensor.untyped_storage()._cdata, []).append(value)
        return value

    def _about_to_overwrite(self, func: Callable, args: tuple, kwargs: dict[str, Any]) -> bool:
        """Copy the values whose memory a call will change; whether it is of a form that does."""
        changed = overwritten(func, args, kwargs)
        for tensor in changed:
            self._keep_copies(tensor)
        return bool(changed)

    def _keep_copies(self, tensor: Tensor) -> None:
        """Copy the values whose memory is this tensor's."""
        try:
            memory = tensor.untyped_storage()._cdata
        except NotImplementedError:  # of a constant that has none: sparse, or inside torch.func
            return
        for value in self._stored.pop(memory, ()):
            value.keep_copy()

    def _linked(self, tensor: Tensor) -> Value | None:
        """The value of a tensor that no recorded operation returned in its present state."""
        inputs = self.behind(tensor)
        if not inputs:
            self._at[tensor.grad_fn, tensor.output_nr] = None
            return None
        assert tensor.grad_fn is not None
        name = tensor.grad_fn.name().removesuffix("Backward")
        scope = self._running[-1][0] if self._running else ""
        operation = Operation(name, None, tuple(inputs), {}, scope, inputs=inputs)
        value = self._new(tensor, operation)
        operation.results = [value]
        self.operations.append(operation)
        return value

    def _returned(self, path: str, before: int, output: Any) -> None:
        if not isinstance(output, Tensor) or not path:
            return
        with torch._C.DisableTorchFunction():
            value = self.value_of(output)
        if value is not None and value.number >= before:
            value.modules.append(path)


def _called_once(
    value: Value, hook: Callable[[Tensor], Tensor | None], gradient: Tensor
) -> Tensor | None:
    """A model's own hook on a gradient, which changes it once, where it arrives."""
    return None if value.begins else hook(gradient)


def _versions(given: list[Tensor]) -> list[int]:
    try:
        return [tensor._version for tensor in given]
    except RuntimeError:  # of tensors that were made in inference mode, which have none
        return [-1 if tensor.is_inference() else tensor._version for tensor in given]


def keep_only(values: Iterable[Value], wanted: Iterable[Value]) -> None:
    """Keep the numbers of the wanted values, and let the others go."""
    wanted = list(wanted)
    for value in wanted:
        value.keep()
    for value in set(values).difference(wanted):
        value.release()
