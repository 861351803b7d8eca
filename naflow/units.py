"""Cut a model into a chain of units, each with one input tensor and one output tensor."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, fx, nn

from naflow.errors import BadInput, UnsupportedModel, near_names
from naflow.trace import Graph, Node, as_module, function_name, pure_module, trace


@dataclass(frozen=True)
class Unit:
    """One link of the chain: name is its output's, module computes it from the unit before.

    feature_map: whether a 4-d output is (B, C, H, W), and not (B, H, W, C) as inside a
    channels-last layer norm. A unit of one operation carries that operation's own module, so that
    an inverse rule can recognise it; any other (a residual block, say) is an fx.GraphModule over
    the model's modules.
    """

    name: str
    module: nn.Module
    feature_map: bool = True

    def __call__(self, x: Tensor) -> Tensor:
        return self.module(x)

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
    cuts = _cut_points(graph, values, len(images))
    if len(cuts) < 2:
        raise UnsupportedModel(f"{type(model).__name__} has no cut points: nothing to invert.")
    order = {node: i for i, node in enumerate(graph.nodes)}
    axes = _axes(graph, modules)
    units = []
    for start, end in pairwise(cuts):
        module = _unit_module(model, modules, graph, start, end, values, order)
        name = "output" if end.op == "output" else names[end]
        units.append(Unit(name, module, axes[end] == _IMAGE_AXES))
    if units[-1].kind == "block of 0 operations":
        units.pop()  # the output is the last cut point itself
    _check_same_output(model, units, images)
    return units


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


def _cut_points(graph: Graph, values: dict[Node, object], batch: int) -> list[Node]:
    order = {node: i for i, node in enumerate(graph.nodes)}
    data: set[Node] = set()  # values that carry the images' data (a size does not)
    for node in graph.nodes:
        from_images = node.op == "placeholder" or any(n in data for n in node.all_input_nodes)
        if from_images and _carries_tensor(values[node]):
            data.add(node)
    cuts, reach = [], 0
    for node in graph.nodes:
        if node not in data:
            continue
        value = values[node]
        whole = isinstance(value, Tensor) and value.is_floating_point()
        whole = whole and value.ndim > 0 and value.shape[0] == batch
        if order[node] >= reach and (whole or node.op == "output"):
            cuts.append(node)
        reach = max([reach, *(order[user] for user in node.users if user in data)])
    return cuts


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
) -> nn.Module:
    """The module that computes `end` from `start`."""
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
            return single
    unit = fx.Graph()
    copies: dict[Node, Any] = {**constants, start: unit.placeholder("x")}
    for node in graph.nodes:
        if node in needed and node.op != "output":
            copies[node] = unit.node_copy(node, lambda n: copies[n])
    result = fx.map_arg(end.args[0], lambda n: copies[n]) if end.op == "output" else copies[end]
    unit.output(result)
    module = fx.GraphModule(_attributes(model, unit), unit, class_name="Unit")
    module.training = False
    return module


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


# --- units by hand -------------------------------------------------------------------------------


def units_by_name(model: nn.Module, names: Sequence[str], images: Tensor) -> list[Unit]:
    """A chain of named modules for a model that fx cannot follow, shallow to deep.

    Each module must be fed by the one before it; the first by the images; what comes after the
    last is the head. This is checked on the images. Call it inside `preserved(model)`.

    Raises BadInput for an unknown name, UnsupportedModel where two modules do not follow each
    other or a module runs more than once.
    """
    modules = dict(model.named_modules())
    for name in names:
        if name not in modules or not name:
            raise BadInput(f"The model has no module '{name}'.{near_names(name, modules)}")
    if not names:
        raise BadInput("units=[] names no module: give at least one.")
    fed: dict[str, Tensor] = {}
    made: dict[str, Tensor] = {}

    def keep(name: str) -> Callable:
        def hook(_: nn.Module, args: tuple, output: object) -> None:
            if name in made:
                raise UnsupportedModel(f"Module '{name}' runs more than once in a forward pass.")
            if len(args) != 1 or not isinstance(args[0], Tensor) or not isinstance(output, Tensor):
                raise UnsupportedModel(f"Module '{name}' does not map one tensor to one tensor.")
            fed[name], made[name] = args[0], output

        return hook

    hooks = [modules[name].register_forward_hook(keep(name)) for name in names]
    try:
        with torch.no_grad():
            model(images.clone())
    finally:
        for hook in hooks:
            hook.remove()
    before, source = images, "the images"
    for name in names:
        if name not in made:
            raise UnsupportedModel(f"Module '{name}' does not run in the model's forward pass.")
        if fed[name].shape != before.shape or not torch.equal(fed[name], before):
            raise UnsupportedModel(
                f"Module '{name}' is not fed by {source}: something between them belongs to no "
                "named module. Name a module that contains both, or leave one out."
            )
        before, source = made[name], f"'{name}'"
    return [Unit(name, modules[name]) for name in names]
