"""From a model to a graph of pure functions, each node named after the model's own modules."""

from __future__ import annotations

import copy
import inspect
import operator
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import fx, nn

from naflow.errors import UnsupportedModel

Graph = fx.Graph
Node = fx.Node


class _NamingTracer(fx.Tracer):
    """Records, for each value, the modules that return it, innermost first."""

    def __init__(self) -> None:
        super().__init__()
        self.returned_by: dict[Node, list[str]] = {}

    def call_module(self, m: nn.Module, forward: Callable, args: tuple, kwargs: dict) -> object:
        out = super().call_module(m, forward, args, kwargs)
        if isinstance(out, fx.Proxy):
            self.returned_by.setdefault(out.node, []).append(self.path_of_module(m))
        return out


def trace(model: nn.Module) -> tuple[Graph, dict[Node, str]]:
    """The model's graph without in-place operations, and a name for every node.

    A value returned by a module carries that module's name; of several modules that return the
    same value, the outermost that is not a bare `nn.Sequential`, so a residual block's output is
    "layer4.1". Other values are named "<module>.<function>", as in "layer4.1.add". A repeated
    name gets a suffix: "relu", "relu#2".

    Raises UnsupportedModel with the reason where torch.fx cannot follow the model's forward.
    """
    tracer = _NamingTracer()
    try:
        graph = tracer.trace(model)
    except Exception as error:  # fx raises whatever the model's own control flow raises
        raise UnsupportedModel(
            f"torch.fx cannot follow {type(model).__name__}.forward: {_first_line(error)} "
            "Way out: name the modules that follow each other by hand, shallow to deep, "
            "as in units=['stem', 'layer1', 'layer2']."
        ) from error
    modules = dict(model.named_modules())
    returned_by = tracer.returned_by
    _without_in_place(graph, modules, returned_by)
    fx.GraphModule(model, graph)  # owns the graph: fx asks it which nodes have side effects
    graph.eliminate_dead_code()
    return graph, _names(graph, modules, returned_by)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0] if lines[0].endswith(".") else lines[0] + "."


def _names(
    graph: Graph, modules: dict[str, nn.Module], returned_by: dict[Node, list[str]]
) -> dict[Node, str]:
    names: dict[Node, str] = {}
    seen: dict[str, int] = {}
    for node in graph.nodes:
        if node.op == "placeholder":
            name = "input"
        elif paths := [path for path in returned_by.get(node, []) if path]:
            own = [path for path in paths if type(modules[path]) is not nn.Sequential]
            name = own[-1] if own else paths[0]
        else:
            name = _function_name(node)
        seen[name] = seen.get(name, 0) + 1
        names[node] = name if seen[name] == 1 else f"{name}#{seen[name]}"
    return names


def _function_name(node: Node) -> str:
    stack = node.meta.get("nn_module_stack") or {}
    scope = [path for path in stack if path]
    return ".".join([*scope[-1:], function_name(node.target).strip("_")])


def function_name(target: object) -> str:
    """The name of what a node calls."""
    return target if isinstance(target, str) else getattr(target, "__name__", "")


# --- in-place operations -------------------------------------------------------------------------


def _without_in_place(
    graph: Graph, modules: dict[str, nn.Module], returned_by: dict[Node, list[str]]
) -> None:
    """Rewrite every in-place operation to its pure form (modules: see `pure_module`).

    What read the overwritten tensor later now reads the result, so the function stays the same.
    """
    order = {node: i for i, node in enumerate(graph.nodes)}
    for node in list(graph.nodes):
        if not _made_pure(node, modules):
            continue
        overwritten = node.args[0] if node.args else next(iter(node.kwargs.values()))
        if isinstance(overwritten, Node):
            later = [user for user in overwritten.users if order[user] > order[node]]
            for user in later:
                user.replace_input_with(overwritten, node)


def _made_pure(node: Node, modules: dict[str, nn.Module]) -> bool:
    """Make one node pure; True if it did overwrite its first argument."""
    target = node.target
    if node.op == "call_module":
        return getattr(modules[str(target)], "inplace", False) is True
    if node.op == "call_method":
        name = str(target)
        if name.endswith("_") and not name.endswith("__"):
            node.target = name[:-1]
            return True
        return False
    if node.op != "call_function" or not callable(target):
        return False
    name = getattr(target, "__name__", "")
    if target in _IN_PLACE_OPERATORS:
        node.target = _IN_PLACE_OPERATORS[target]
        return True
    if name.endswith("_") and not name.endswith("__"):
        pure = getattr(F, name[:-1], None) or getattr(torch, name[:-1], None)
        if pure is not None:
            node.target = pure
            return True
    return _without_in_place_argument(node, target)


_IN_PLACE_OPERATORS = {
    getattr(operator, "i" + name): getattr(operator, name)
    for name in ("add", "sub", "mul", "truediv")
}


def _without_in_place_argument(node: Node, function: Callable) -> bool:
    try:
        bound = inspect.signature(function).bind(*node.args, **node.kwargs)
    except (ValueError, TypeError):  # a builtin without a signature has no inplace argument
        return False
    if not bound.arguments.get("inplace", False):
        return False
    bound.arguments["inplace"] = False
    node.args, node.kwargs = bound.args, bound.kwargs
    return True


def pure_module(module: nn.Module) -> nn.Module:
    """The module, or a copy that shares its parameters and is not in place: an in-place
    activation would overwrite the feature map before it, and that map is to be explained."""
    if getattr(module, "inplace", False) is not True:
        return module
    pure = copy.copy(module)
    setattr(pure, "inplace", False)  # noqa: B010 (a module's attributes are typed as modules)
    return pure


# --- functions as modules ------------------------------------------------------------------------

_AS_MODULE: dict[object, type[nn.Module]] = {
    F.relu: nn.ReLU,
    torch.relu: nn.ReLU,
    "relu": nn.ReLU,
    F.relu6: nn.ReLU6,
    F.hardtanh: nn.Hardtanh,
    F.leaky_relu: nn.LeakyReLU,
    F.elu: nn.ELU,
    F.celu: nn.CELU,
    F.selu: nn.SELU,
    F.silu: nn.SiLU,
    F.gelu: nn.GELU,
    F.mish: nn.Mish,
    F.hardswish: nn.Hardswish,
    F.hardsigmoid: nn.Hardsigmoid,
    F.softplus: nn.Softplus,
    F.softsign: nn.Softsign,
    F.sigmoid: nn.Sigmoid,
    torch.sigmoid: nn.Sigmoid,
    "sigmoid": nn.Sigmoid,
    F.tanh: nn.Tanh,
    torch.tanh: nn.Tanh,
    "tanh": nn.Tanh,
    F.max_pool2d: nn.MaxPool2d,
    F.adaptive_max_pool2d: nn.AdaptiveMaxPool2d,
    F.avg_pool2d: nn.AvgPool2d,
    F.adaptive_avg_pool2d: nn.AdaptiveAvgPool2d,
    F.dropout: nn.Identity,
    F.dropout2d: nn.Identity,
}


def as_module(node: Node, modules: dict[str, nn.Module]) -> nn.Module | None:
    """The nn.Module that does what one node does, so that functional and modular models get the
    same rules; None where there is none."""
    if node.op == "call_module":
        pure = len(node.args) == 1 and not node.kwargs
        return pure_module(modules[str(node.target)]) if pure else None
    if node.op not in ("call_function", "call_method"):
        return None
    kind = _AS_MODULE.get(node.target)
    arguments = list(node.args[1:]) + list(node.kwargs.values())
    if kind is None or not node.args or any(isinstance(a, Node) for a in arguments):
        return None
    settings = dict(node.kwargs)
    settings.update(zip(_ARGUMENTS.get(kind, ()), node.args[1:], strict=False))
    positional = () if kind in _ARGUMENTS else node.args[1:]
    settings.pop("inplace", None)
    if kind is nn.Identity and settings.pop("training", True):
        return None  # dropout that stays on is no function of its input
    try:
        module = kind(*positional, **settings)
    except TypeError:
        return None
    return None if getattr(module, "return_indices", False) else module.eval()


# Where the function's order of arguments is not the module's.
_ARGUMENTS: dict[type[nn.Module], tuple[str, ...]] = {
    nn.MaxPool2d: ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices"),
    nn.Identity: ("p", "training"),
}
