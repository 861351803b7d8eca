"""Record a forward pass while it runs: every operation on data, and the module that it ran under.

A TorchFunctionMode sees each call of PyTorch from Python. It cannot see an autograd.Function,
scripted code or an operation in C++. These are noticed where their result is used: a tensor that
was not recorded is linked through the autograd graph to the recorded values that it was computed
from, and counts as one opaque operation.
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

#: (name, function, args, kwargs, id of a tensor argument -> its Value) -> what the call returns
Execute = Callable[[str, Callable, tuple, dict[str, Any], dict[int, Value]], Any]

#: Functions that query a tensor or attach something to it, and compute no data.
_ASKS = frozenset(
    {
        "size", "dim", "ndimension", "numel", "nelement", "stride", "storage_offset", "__len__",
        "is_floating_point", "is_complex", "is_contiguous", "is_inference", "element_size",
        "is_same_size",
        "__hash__", "__repr__", "__format__", "__bool__", "item", "tolist", "numpy", "get_device",
        "register_hook", "retain_grad", "requires_grad_", "register_post_accumulate_grad_hook",
        "data_ptr", "untyped_storage", "is_set_to", "backward", "__set__", "__delete__",
        "__array__", "__dlpack__",
        "grad",  # torch.autograd.grad cannot be called again; the graph holds its result
    }
)  # fmt: skip
_HANDS_OUT = frozenset({"numpy", "array", "dlpack"})  # share the memory, which may then be changed
_VIEWS = frozenset({"T", "mT", "H", "mH", "data", "real", "imag"})  # properties that are tensors


@lru_cache(maxsize=4096)
def _asks(func: Callable) -> bool:
    name = getattr(func, "__name__", "")
    return name in _ASKS or (name == "__get__" and canonical(func) not in _VIEWS)


class Tape(TorchFunctionMode):
    """Record what a model does with data, within `watching`.

    execute     run a call in place of the call itself, see naflow.explainers.propagation

    operations  the recorded operations, in order
    values      the recorded values, in order, the images first
    sequences   the paths of modules that are plain nn.Sequential
    """

    def __init__(self, model: nn.Module, execute: Execute | None = None) -> None:
        super().__init__()
        self.operations: list[Operation] = []
        self.values: list[Value] = []
        self._execute = execute
        modules = list(model.named_modules())
        self.sequences = {path for path, module in modules if type(module) is nn.Sequential}
        self._paths = {id(module): path for path, module in modules}
        #: The modules that are running, outermost first: path, number of values recorded before.
        self._running: list[tuple[str, int]] = []
        #: Place in the autograd graph -> the value there; None if it does not depend on the images.
        self._at: dict[tuple[Any, int], Value | None] = {}
        self._stored: dict[int, list[Value]] = {}  # storage -> the values that share it

    def begin(self, images: Tensor) -> None:
        """Record this tensor, the images, as the first value. It must have a grad_fn."""
        self._new(images, None)

    @contextmanager
    def watching(self) -> Generator[None]:
        """Context manager: record the operations and module calls of this thread."""
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
        """Return the value that a tensor holds now; None if it does not depend on the images."""
        place = tensor.grad_fn, tensor.output_nr
        if place[0] is None:
            return None
        return self._at[place] if place in self._at else self._linked(tensor)

    def behind(self, tensor: Tensor) -> list[Value]:
        """Return the first recorded value on every path from a tensor back to the images."""
        nearest: dict[Value, None] = {}
        seen, stack = set(), [(tensor.grad_fn, tensor.output_nr)]
        while stack:
            place = stack.pop()
            if place[0] is None or place in seen:
                continue
            seen.add(place)
            if place not in self._at:
                stack += place[0].next_functions
            elif (value := self._at[place]) is not None:
                nearest[value] = None
        return list(nearest)

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
        # New values: tensors that it returned or wrote into, except arguments returned unchanged.
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
        """Copy the values whose memory a call will change. Return whether the call is in place."""
        changed = overwritten(func, args, kwargs)
        for tensor in changed:
            self._keep_copies(tensor)
        return bool(changed)

    def _keep_copies(self, tensor: Tensor) -> None:
        """Copy the values that share their memory with this tensor."""
        try:
            memory = tensor.untyped_storage()._cdata
        except NotImplementedError:  # a constant without storage: sparse, or inside torch.func
            return
        for value in self._stored.pop(memory, ()):
            value.keep_copy()

    def _linked(self, tensor: Tensor) -> Value | None:
        """Return the value of a tensor that no recorded operation returned in its present state:
        the result of a new opaque operation. None if the tensor does not depend on the images."""
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
    """Apply a model's own hook to a gradient once, where the gradient arrives, and not again where
    a later pass begins at this value."""
    return None if value.begins else hook(gradient)


def _versions(given: list[Tensor]) -> list[int]:
    try:
        return [tensor._version for tensor in given]
    except RuntimeError:  # tensors made in inference mode have no version
        return [-1 if tensor.is_inference() else tensor._version for tensor in given]


def keep_only(values: Iterable[Value], wanted: Iterable[Value]) -> None:
    """Keep the data of the wanted values, and release that of the others."""
    wanted = list(wanted)
    for value in wanted:
        value.keep()
    for value in set(values).difference(wanted):
        value.release()
