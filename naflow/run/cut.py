"""Cut a run where one value carries all of its data: the chain of units between those points.

A value is a cut point when every path from the images to what is explained passes through it: after
the operation that made it, nothing else that is still needed is alive. One sweep over the run finds
them all, so a plain net is cut layer by layer and a residual block is one unit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from torch import Tensor

from naflow.errors import BadInput, UnsupportedModel, near_names
from naflow.run.operation import Operation, Value
from naflow.run.run import Run, no_gradient
from naflow.run.tape import keep_only


@dataclass(frozen=True)
class Unit:
    """One link of the chain: the operations that make `result` from `source`, in order.

    name         its result's
    feature_map  whether the result is (B, C, *size), and not (B, *size, C) as inside a
                 channels-last layer norm
    inner        name -> value of the feature maps on the branches of a block, in order
    """

    name: str
    source: Value
    result: Value
    operations: tuple[Operation, ...]
    feature_map: bool = True
    inner: dict[str, Value] = field(default_factory=dict)

    @property
    def operation(self) -> Operation | None:
        """The only operation, of a unit that is one."""
        return self.operations[0] if len(self.operations) == 1 else None

    @property
    def opaque(self) -> bool:
        """Whether an operation cannot be run again."""
        return any(operation.opaque for operation in self.operations)

    @property
    def kind(self) -> str:
        """What the unit is, for the plan."""
        only = self.operation
        return only.name if only else f"block of {len(self.operations)} operations"

    def __call__(self, x: Tensor) -> Tensor:
        """Its result from another input, (B, *in) -> (B, *out), for as many images as ran.

        What did not depend on the images stays as it was. Raises UnsupportedModel where a part
        cannot be run again.
        """
        return again(self.operations, {self.source: x})[self.result]


@dataclass(frozen=True)
class Chain:
    """The units of a run, shallow to deep, from the images to the last cut point."""

    run: Run
    units: list[Unit]

    def layers(self, opened: Iterable[str] = ()) -> dict[str, Value]:
        """The feature maps by name, shallow to deep, those in an opened block before its own."""
        found: dict[str, Value] = {}
        for unit in self.units:
            if unit.name in opened:
                found |= unit.inner
            if unit.feature_map:
                found[unit.name] = unit.result
        return found

    def up_to(self, last: str | None) -> Chain:
        """The chain up to a layer; by default up to the last feature map of more than one pixel.

        Raises UnsupportedModel where there is no feature map, BadInput for an unknown layer.
        """
        maps = {unit.name: place for place, unit in enumerate(self.units, 1) if unit.feature_map}
        if last is not None:
            known_layer(last, maps)
            end = maps[last]
        elif maps:
            wide = [i for i in maps.values() if math.prod(self.units[i - 1].result.shape[2:]) > 1]
            end = (wide or list(maps.values()))[-1]
        else:
            raise UnsupportedModel(
                "No layer of the model gives a feature map (B, C, H, W) through which all data "
                "flow: there is nothing to draw. NAFlow explains convolutional networks."
            )
        return Chain(self.run, self.units[:end])

    def opened(self, detail: bool | Iterable[str]) -> list[str]:
        """The units to look into: all that have an inside (True), or those of the modules named,
        as in ["layer1.0"]. Raises BadInput for a name without an inside."""
        blocks = {unit.name: unit for unit in self.units if unit.inner}
        if isinstance(detail, bool):
            return list(blocks) if detail else []
        found = []
        for name in detail:
            of_module = [block for block in blocks if f"{block}.".startswith(f"{name}.")]
            if not of_module:
                raise BadInput(f"detail: '{name}' has no inside.{near_names(name, blocks)}")
            found += of_module
        return found

    def keep(self, opened: Iterable[str] = ()) -> None:
        """Keep the numbers at the cut points, inside opened blocks and of what cannot be run again;
        let all others go."""
        wanted = [self.run.images]
        for unit in self.units:
            wanted += unit.inner.values() if unit.name in opened else ()
            wanted += (operation.results[0] for operation in unit.operations if operation.opaque)
            wanted.append(unit.result)
        keep_only(self.run.values, wanted)


def cut(run: Run, ends: Iterable[Value]) -> Chain:
    """The finest chain that leads from the images to the values `ends`.

    Raises UnsupportedModel where nothing leads there.
    """
    ends = list(ends)
    needed = upstream(run, ends)
    points = _cut_points(run, needed, ends)
    if len(points) < 2:
        raise (
            no_gradient(run.model)
            if not ends
            else UnsupportedModel(
                f"No tensor in {type(run.model).__name__} holds all that it computes, with a row "
                f"for each image and in the images' type, {run.images.dtype}: there is no layer "
                "to draw. Of a model that goes over to half precision by itself, switch that off."
            )
        )
    trace_axes(run, needed)
    names = value_names(run, needed)
    place = {operation: i for i, operation in enumerate(needed)}
    units = []
    for source, result in pairwise(points):
        first = 0 if source.operation is None else place[source.operation] + 1
        within = needed[first : place[result.operation] + 1] if result.operation else []
        inner = {
            names[value]: value
            for operation in within
            for value in operation.results
            if value is not result and value in names and is_map(value, run)
        }
        units.append(Unit(names[result], source, result, tuple(within), is_map(result, run), inner))
    return Chain(run, units)


def is_map(value: Value, run: Run) -> bool:
    """Whether a value is a feature map (B, C, *size) of as many axes as the images."""
    images = run.images.shape
    return (
        _whole(value, run)
        and len(value.shape) == len(images)
        and value.axes == tuple(range(len(images)))
    )


def known_layer(name: str, layers: Iterable[str]) -> None:
    """Raise BadInput, with the near names, for a layer that there is not."""
    layers = list(layers)
    if name not in layers:
        raise BadInput(f"There is no layer '{name}'.{near_names(name, layers)}")


def again(operations: Iterable[Operation], given: Mapping[Value, Tensor]) -> dict[Value, Tensor]:
    """All values that operations make, from other tensors for some of the values: those stay."""
    found = dict(given)
    for operation in operations:
        if all(result in given for result in operation.results):
            continue
        for value, tensor in zip(
            operation.results, operation.again(found.__getitem__), strict=True
        ):
            found.setdefault(value, tensor)
    return found


def upstream(run: Run, ends: Iterable[Value]) -> list[Operation]:
    """The operations that the values `ends` depend on, in order."""
    needed, found = set(ends), []
    for operation in reversed(run.operations):
        if needed.intersection(operation.results):
            found.append(operation)
            needed.update(operation.inputs)
    return found[::-1]


def _cut_points(run: Run, needed: list[Operation], ends: list[Value]) -> list[Value]:
    last = {value: i for i, operation in enumerate(needed) for value in operation.inputs}
    last |= dict.fromkeys(ends, len(needed))
    alive = {run.images}
    found = [run.images]
    for i, operation in enumerate(needed):
        alive.update(operation.results)
        alive = {value for value in alive if last.get(value, -1) > i}
        if len(alive) == 1:
            (only,) = alive
            if only is not found[-1] and _whole(only, run):
                found.append(only)
    return found


def _whole(value: Value, run: Run) -> bool:
    """Whether a value has a row an image, of real numbers as precise as the images'."""
    images = run.images
    return value.dtype == images.dtype and value.shape[:1] == images.shape[:1]


# --- names ---------------------------------------------------------------------------------------


def value_names(run: Run, operations: Iterable[Operation]) -> dict[Value, str]:
    """A name for the result of every operation.

    A value that modules return is named after the outermost that is no bare nn.Sequential, as in
    "layer4.1"; any other "<module>.<operation>", as in "layer4.1.add". A repeated name gets a
    suffix: "relu", "relu#2".
    """
    names: dict[Value, str] = {run.images: "input"}
    seen = {"input": 1}
    for operation in operations:
        for value in operation.results:
            name = _name(run, value, operation)
            seen[name] = seen.get(name, 0) + 1
            names[value] = name if seen[name] == 1 else f"{name}#{seen[name]}"
    return names


def _name(run: Run, value: Value, operation: Operation) -> str:
    if value.modules:
        own = [path for path in value.modules if not run.is_sequence(path)]
        return own[-1] if own else value.modules[0]
    return ".".join([*filter(None, [operation.scope]), operation.name])


# --- axes ----------------------------------------------------------------------------------------


def trace_axes(run: Run, operations: Iterable[Operation]) -> None:
    """Write down where each value's axes come from, as far as permutations moved them since the
    images or the last convolution: 0, 1, 2, ... for a feature map (B, C, *size)."""
    still = tuple(range(len(run.images.shape)))
    run.images.axes = still
    for operation in operations:
        axes = operation.inputs[0].axes if operation.inputs else still
        if operation.name.startswith("conv"):
            axes = still
        elif move := _MOVES.get(operation.name):
            axes = move(operation, axes)
        for value in operation.results:
            value.axes = axes


def _permuted(operation: Operation, axes: tuple[int, ...]) -> tuple[int, ...]:
    order = operation.kwargs.get("dims", operation.args[1:])
    order = order[0] if len(order) == 1 and isinstance(order[0], (tuple, list)) else order
    return tuple(axes[i] for i in order) if len(order) == len(axes) else axes


def _swapped(operation: Operation, axes: tuple[int, ...]) -> tuple[int, ...]:
    pair = [*operation.args[1:], *operation.kwargs.values()]
    moved = list(axes)
    if len(pair) == 2 and len(axes) == len(operation.inputs[0].shape):
        moved[pair[0]], moved[pair[1]] = moved[pair[1]], moved[pair[0]]
    return tuple(moved)


_MOVES: dict[str, Callable[[Operation, Any], tuple[int, ...]]] = {
    "permute": _permuted,
    "transpose": _swapped,
    "swapaxes": _swapped,
    "swapdims": _swapped,
}
