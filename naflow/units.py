"""Cut a model into a chain of units, each with one input tensor and one output tensor."""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, fx, nn

from naflow.errors import UnsupportedModel
from naflow.trace import Graph, Node, as_module, function_name, pure_module, trace


@dataclass(frozen=True)
class Unit:
    """One link of the chain: name is its output's, module computes it from the unit before.

    feature_map: whether a 4-d output is (B, C, H, W), and not (B, H, W, C) as inside a
    channels-last layer norm. A unit of one operation carries that operation's own module, so that
    an inverse rule can recognise it; any other (a residual block, say) is an fx.GraphModule over
    the model's modules, and inner names the feature maps on its branches: node of the module's
    graph -> name, in order.
    """

    name: str
    module: nn.Module
    feature_map: bool = True
    inner: dict[str, str] = field(default_factory=dict)

    def __call__(self, x: Tensor) -> Tensor:
        return self.module(x)

    def inside(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The unit's output, and the feature maps on its branches by name, (B, C, H, W)."""
        if not isinstance(self.module, fx.GraphModule):
            return self(x), {}
        watcher = _Watcher(self.module, self.inner)
        return watcher.run(x), watcher.found

    @property
    def kind(self) -> str:
        """What the unit is, for the plan: a module's class, or the operations of a block."""
        if not isinstance(self.module, fx.GraphModule):
            return type(self.module).__name__
        operations = [n for n in self.module.graph.nodes if n.op.startswith("call_")]
        if len(operations) == 1:
            return function_name(operations[0].target)
        return f"block of {len(operations)} operations"


def units_of_graph(model: nn.Module, images: Tensor) -> list[Unit]:
    """The finest chain that covers the whole model: its cut points, found by torch.fx.

    A value is a cut point when every path from the images to the output passes through it: no
    earlier edge reaches past it, in one sweep in topological order. The units compute the model's
    own output, which is checked on the images. Call it inside `preserved(model)`.

    Raises UnsupportedModel where fx cannot trace the model, or the units do not reproduce it.
    """
    graph, names = trace(model)
    modules = dict(model.named_modules())
    _refuse_attention(graph, modules, names)
    values = _Recorder(model, graph).run_recorded(images.clone())
    data = _data(graph, values)
    cuts = [n for n in _cut_points(graph, data) if n.op == "output" or _whole(values[n], images)]
    if len(cuts) < 2:
        raise UnsupportedModel(f"{type(model).__name__} has no cut points: nothing to invert.")
    order = {node: i for i, node in enumerate(graph.nodes)}
    axes = _axes(graph, modules)
    maps = {
        node: names[node]
        for node in graph.nodes
        if node in data and axes[node] == _IMAGE_AXES and _whole(values[node], images, ndim=4)
    }
    units = []
    for start, end in pairwise(cuts):
        module, copies = _unit_module(model, modules, graph, start, end, values, order)
        name = "output" if end.op == "output" else names[end]
        inner = {copy.name: maps[node] for node, copy in copies.items() if node in maps}
        units.append(Unit(name, module, axes[end] == _IMAGE_AXES, inner))
    if units[-1].kind == "block of 0 operations":
        units.pop()  # the output is the last cut point itself
    _check_same_output(model, units, images)
    return units


class _Watcher(fx.Interpreter):
    """Runs a unit and keeps the values of the nodes that have a name."""

    def __init__(self, unit: fx.GraphModule, names: dict[str, str]) -> None:
        super().__init__(unit)
        self.names = names
        self.found: dict[str, Tensor] = {}

    def run_node(self, n: Node) -> Any:
        value = super().run_node(n)
        if n.name in self.names:
            self.found[self.names[n.name]] = value
        return value


class _Recorder(fx.Interpreter):
    """Runs the graph once and keeps what is needed of every value: its shape, or itself."""

    def __init__(self, model: nn.Module, graph: Graph) -> None:
        super().__init__(model, garbage_collect_values=True, graph=graph)
        self.values: dict[Node, object] = {}

    def run_recorded(self, images: Tensor) -> dict[Node, object]:
        with torch.no_grad():
            self.run(images)
        return self.values

    def run_node(self, n: Node) -> object:
        value = super().run_node(n)
        # Tensors are kept on the meta device only: their shape and dtype, not their memory.
        self.values[n] = fx.node.map_aggregate(
            value, lambda v: v.to("meta") if isinstance(v, Tensor) else v
        )
        return value


def _carries_tensor(value: object) -> bool:
    if isinstance(value, (tuple, list)):
        return any(_carries_tensor(v) for v in value)
    if isinstance(value, dict):
        return any(_carries_tensor(v) for v in value.values())
    return isinstance(value, Tensor)


def _data(graph: Graph, values: dict[Node, object]) -> set[Node]:
    """The values that carry the images' data (a size does not)."""
    data: set[Node] = set()
    for node in graph.nodes:
        from_images = node.op == "placeholder" or any(n in data for n in node.all_input_nodes)
        if from_images and _carries_tensor(values[node]):
            data.add(node)
    return data


def _cut_points(graph: Graph, data: set[Node]) -> list[Node]:
    """The nodes that no earlier edge reaches past."""
    order = {node: i for i, node in enumerate(graph.nodes)}
    cuts, reach = [], 0
    for node in graph.nodes:
        if node not in data:
            continue
        if order[node] >= reach:
            cuts.append(node)
        reach = max([reach, *(order[user] for user in node.users if user in data)])
    return cuts


def _whole(value: object, images: Tensor, ndim: int | None = None) -> bool:
    """Whether a value is one float tensor with a row an image (and so many axes)."""
    if not isinstance(value, Tensor) or not value.is_floating_point() or value.ndim == 0:
        return False
    return len(value) == len(images) and ndim in (None, value.ndim)


_IMAGE_AXES = (0, 1, 2, 3)


def _axes(graph: Graph, modules: dict[str, nn.Module]) -> dict[Node, tuple[int, ...]]:
    """Where each value's axes come from, as far as permutations moved them since the images or
    the last convolution: _IMAGE_AXES for a feature map (B, C, H, W)."""
    axes: dict[Node, tuple[int, ...]] = {}
    for node in graph.nodes:
        inherited = next((axes[n] for n in node.all_input_nodes if n in axes), _IMAGE_AXES)
        if node.op == "call_module" and isinstance(modules[str(node.target)], nn.Conv2d):
            inherited = _IMAGE_AXES
        elif function_name(node.target) == "permute":
            order = node.args[1] if len(node.args) == 2 else node.args[1:]
            order = node.kwargs.get("dims", order)
            if isinstance(order, (tuple, list)) and len(order) == 4:
                inherited = tuple(inherited[i] for i in order)
        axes[node] = inherited
    return axes


def _unit_module(
    model: nn.Module,
    modules: dict[str, nn.Module],
    graph: Graph,
    start: Node,
    end: Node,
    values: dict[Node, object],
    order: dict[Node, int],
) -> tuple[nn.Module, dict[Node, Node]]:
    """The module that computes `end` from `start`, and for each value between them its node."""
    needed: set[Node] = set()
    constants: dict[Node, Any] = {}  # sizes read before `start`: the same for this image shape
    stack = [end]
    while stack:
        node = stack.pop()
        if node is start or node in needed or node in constants:
            continue
        if order[node] < order[start] and not _carries_tensor(values[node]):
            constants[node] = values[node]
            continue
        needed.add(node)
        stack.extend(node.all_input_nodes)
    if needed == {end} and not constants:
        single = as_module(end, modules)
        if single is not None:
            return single, {}
    unit = fx.Graph()
    copies: dict[Node, Any] = {**constants, start: unit.placeholder("x")}
    for node in graph.nodes:
        if node in needed and node.op != "output":
            copies[node] = unit.node_copy(node, lambda n: copies[n])
    result = fx.map_arg(end.args[0], lambda n: copies[n]) if end.op == "output" else copies[end]
    unit.output(result)
    module = fx.GraphModule(_attributes(model, unit), unit, class_name="Unit")
    module.training = False
    return module, {node: copies[node] for node in copies if node in needed and node is not end}


def _attributes(model: nn.Module, unit: Graph) -> dict[str, object]:
    """What the unit's graph refers to, shared with the model."""
    found: dict[str, object] = {}
    for node in unit.nodes:
        name = str(node.target)
        if node.op == "call_module":
            found[name] = pure_module(model.get_submodule(name))
        elif node.op == "get_attr":
            found[name] = operator.attrgetter(name)(model)
    return found


def _check_same_output(model: nn.Module, units: list[Unit], images: Tensor) -> None:
    with torch.no_grad():
        own, chained = model(images.clone()), images
        for unit in units:
            chained = unit(chained)
    pairs = zip(_tensors(own), _tensors(chained), strict=True)
    if not all(torch.allclose(a, b, rtol=1e-3, atol=1e-5, equal_nan=True) for a, b in pairs):
        raise UnsupportedModel(
            f"{type(model).__name__} traced by torch.fx gives another output than the model itself "
            "(forward hooks that change values, or control flow that depends on the data). "
            "Way out: name the modules that follow each other by hand, as in units=['stem', ...]."
        )


def _tensors(output: Any) -> list[Tensor]:
    found: list[Tensor] = []
    fx.node.map_aggregate(
        output,
        lambda v: found.append(v) if isinstance(v, Tensor) else None,
    )
    return found


# --- what is no CNN ------------------------------------------------------------------------------

_PRODUCTS = ("matmul", "bmm", "einsum", "baddbmm")


def _refuse_attention(graph: Graph, modules: dict[str, nn.Module], names: dict[Node, str]) -> None:
    """Refuse self-attention: tokens mixed by softmax(QK)V are no feature maps to invert."""
    for node in graph.nodes:
        if node.op == "call_module":
            module = modules[str(node.target)]
            attends = isinstance(module, nn.MultiheadAttention)
            softmax = isinstance(module, nn.Softmax)
        else:
            function = function_name(node.target)
            attends = function.endswith(("scaled_dot_product_attention", "window_attention"))
            softmax = function == "softmax"
        if attends or (softmax and _feeds_product(node)):
            raise UnsupportedModel(
                f"Layer '{names[node]}' is self-attention: a transformer has tokens, not feature "
                "maps, and NAFlow inverts convolutional networks. Explain a CNN, or name by hand "
                "the convolutional modules before it, as in units=['stem', ...]."
            )


def _feeds_product(node: Node, depth: int = 3) -> bool:
    for user in node.users:
        if function_name(user.target) in _PRODUCTS:
            return True
        if depth and _feeds_product(user, depth - 1):
            return True
    return False
