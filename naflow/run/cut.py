"""Cut a run into a chain of units, at the values that carry all of its data.

A value is a cut point if every path from the images to what is explained passes through it: after
the operation that computed it, no other value is still needed. One sweep over the run finds all cut
points. So a plain network is cut layer by layer, and a residual block is one unit.
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
    """One link of the chain: the operations that compute `result` from `source`, in order.

    name         the name of its result
    feature_map  whether the result is (B, C, *size); False if it is (B, *size, C), as inside a
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
        """The unit's operation if it has only one, else None."""
        return self.operations[0] if len(self.operations) == 1 else None

    @property
    def opaque(self) -> bool:
        """Whether one of the operations cannot be run again."""
        return any(operation.opaque for operation in self.operations)

    @property
    def kind(self) -> str:
        """The kind of the unit for the plan, as in "conv2d" or "block of 7 operations"."""
        only = self.operation
        return only.name if only else f"block of {len(self.operations)} operations"

    def __call__(self, x: Tensor) -> Tensor:
        """Compute the result from another input of the same shape, (B, *in) -> (B, *out).

        Values that do not depend on the images stay as recorded. Raises UnsupportedModel if an
        operation cannot be run again.
        """
        return again(self.operations, {self.source: x})[self.result]


@dataclass(frozen=True)
class Chain:
    """The units of a run, shallow to deep, from the images to the last cut point."""

    run: Run
    units: list[Unit]

    def layers(self, opened: Iterable[str] = ()) -> dict[str, Value]:
        """Return name -> value of the feature maps, shallow to deep; those inside an opened block
        come before its own."""
        layers: dict[str, Value] = {}
        for unit in self.units:
            if unit.name in opened:
                layers |= unit.inner
            if unit.feature_map:
                layers[unit.name] = unit.result
        return layers

    def up_to(self, last: str | None) -> Chain:
        """Return the chain up to a layer; None: to the last feature map of more than one pixel.

        Raises UnsupportedModel if there is no feature map, BadInput for an unknown layer.
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
        """Return the names of the units whose inner feature maps are wanted: all that have any
        (True), or those of the named modules, as in ["layer1.0"]. Raises BadInput for a name
        without inner feature maps."""
        blocks = {unit.name: unit for unit in self.units if unit.inner}
        if isinstance(detail, bool):
            return list(blocks) if detail else []
        names = []
        for name in detail:
            of_module = [block for block in blocks if f"{block}.".startswith(f"{name}.")]
            if not of_module:
                raise BadInput(
                    f"detail: '{name}' has no feature maps inside.{near_names(name, blocks)}"
                )
            names += of_module
        return names

    def keep(self, opened: Iterable[str] = ()) -> None:
        """Keep the tensors of the cut points, of opened blocks and of operations that cannot be run
        again; release all others."""
        wanted = [self.run.images]
        for unit in self.units:
            wanted += unit.inner.values() if unit.name in opened else ()
            wanted += (operation.results[0] for operation in unit.operations if operation.opaque)
            wanted.append(unit.result)
        keep_only(self.run.values, wanted)


def cut(run: Run, ends: Iterable[Value]) -> Chain:
    """Return the finest chain from the images to the values `ends`.

    Raises UnsupportedModel if no gradient leads from them to the images, or no value holds all that
    is computed.
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
    """Whether a value is a feature map (B, C, *size) with as many axes as the images."""
    images = run.images.shape
    return (
        _whole(value, run)
        and len(value.shape) == len(images)
        and value.axes == tuple(range(len(images)))
    )


def known_layer(name: str, layers: Iterable[str]) -> None:
    """Raise BadInput, with similar names, for a layer that is not among `layers`."""
    layers = list(layers)
    if name not in layers:
        raise BadInput(f"There is no layer '{name}'.{near_names(name, layers)}")


def again(operations: Iterable[Operation], given: Mapping[Value, Tensor]) -> dict[Value, Tensor]:
    """Run operations again from other tensors. given: value -> tensor, which is not recomputed.
    Return the tensors of all values."""
    computed = dict(given)
    for operation in operations:
        if all(result in given for result in operation.results):
            continue
        for value, tensor in zip(
            operation.results, operation.again(computed.__getitem__), strict=True
        ):
            computed.setdefault(value, tensor)
    return computed


def upstream(run: Run, ends: Iterable[Value]) -> list[Operation]:
    """Return the operations that the values `ends` depend on, in order."""
    needed, operations = set(ends), []
    for operation in reversed(run.operations):
        if needed.intersection(operation.results):
            operations.append(operation)
            needed.update(operation.inputs)
    return operations[::-1]


def _cut_points(run: Run, needed: list[Operation], ends: list[Value]) -> list[Value]:
    last = {value: i for i, operation in enumerate(needed) for value in operation.inputs}
    last |= dict.fromkeys(ends, len(needed))
    alive = {run.images}
    points = [run.images]
    for i, operation in enumerate(needed):
        alive.update(operation.results)
        alive = {value for value in alive if last.get(value, -1) > i}
        if len(alive) == 1:
            (only,) = alive
            if only is not points[-1] and _whole(only, run):
                points.append(only)
    return points


def _whole(value: Value, run: Run) -> bool:
    """Whether a value has one row per image, and the images' dtype."""
    images = run.images
    return value.dtype == images.dtype and value.shape[:1] == images.shape[:1]


# --- names ---------------------------------------------------------------------------------------


def value_names(run: Run, operations: Iterable[Operation]) -> dict[Value, str]:
    """Name the result of every operation.

    A value that modules return is named after the outermost that is no bare nn.Sequential, as in
    "layer4.1"; any other value "<module>.<operation>", as in "layer4.1.add". A repeated name gets a
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
    """Set each value's `axes`: for each axis its position in the images or in the output of the
    last convolution, before permutations; 0, 1, 2, ... for a feature map (B, C, *size)."""
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
