"""One forward pass of the model itself, written down."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from copy import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import checkpoint
from torch.utils._pytree import tree_leaves, tree_map

from naflow.errors import BadInput, NAFlowError, UnsupportedModel
from naflow.run.inputs import check_images
from naflow.run.operation import Operation, Value
from naflow.run.tape import Execute, Tape

#: What the model takes besides the images: more positional arguments, or named ones.
Inputs = Sequence[Any] | Mapping[str, Any]


@dataclass
class Run:
    """What happened when the model saw the images.

    images      the value that holds the images; its gradient is that of the images
    values      every value on data, in order; operations  likewise
    inputs      what the model took besides
    output      what the model returned, with its autograd graph
    """

    model: nn.Module
    images: Value
    inputs: Inputs
    values: list[Value]
    operations: list[Operation]
    output: Any
    tape: Tape

    def is_sequence(self, path: str) -> bool:
        """Whether the module of this path is a bare nn.Sequential."""
        return path in self.tape.sequences

    def ends(self) -> list[Value]:
        """The values of the output's tensors.

        Raises UnsupportedModel where none of them depends on the images.
        """
        found = [value for t in parts(self.output) if (value := self.tape.value_of(t)) is not None]
        if not found:
            raise no_gradient(self.model)
        return list(dict.fromkeys(found))

    def behind(self, tensor: Tensor) -> list[Value]:
        """The recorded values that a tensor computed from the output depends on."""
        return self.tape.behind(tensor)


def run(
    model: nn.Module,
    images: Tensor,
    inputs: Inputs = (),
    execute: Execute | None = None,
    *,
    check: bool = True,
) -> Run:
    """Run the model once on images (B, C, ...), in evaluation mode, and write down what happens.

    The model runs as it is, in float32 products where autocast is on outside, with gradients where
    inference_mode or no_grad is on outside. Wrappers that only hand on (DataParallel, a compiled
    module) are taken off. inputs are constants. Call it inside `preserved(model)`.

    Raises BadInput for images that do not fit the model, UnsupportedModel for one that cannot run
    here: a compiled or exported one that gives no gradients, one that has lazy layers.
    """
    model = unwrapped(model)
    if check:
        check_images(model, images)
    with _plain(images):
        leaf = images.detach().clone().requires_grad_()
        given = leaf.clone()  # the model may begin with an in-place layer
        tape = Tape(model, execute)
        tape.begin(given)
        try:
            with tape.watching():
                output = _called(model, given, inputs)
        except NAFlowError:
            raise
        except Exception as error:  # whatever the model itself raises
            raise BadInput(
                f"{type(model).__name__} cannot run on images of shape {tuple(images.shape)}: "
                f"{type(error).__name__}: {error}"
            ) from error
    return Run(model, tape.values[0], inputs, tape.values, tape.operations, output, tape)


def unwrapped(model: nn.Module) -> nn.Module:
    """The model inside wrappers that only hand on what they are given."""
    while True:
        if isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            model = model.module
        elif isinstance(inner := model.__dict__.get("_modules", {}).get("_orig_mod"), nn.Module):
            model = inner  # torch.compile
        else:
            return model


def parts(output: Any) -> list[Tensor]:
    """The tensors of a model's output: of tuples, dicts, dataclasses and plain objects."""
    found = []
    for leaf in tree_leaves(output):
        if isinstance(leaf, Tensor):
            found.append(leaf)
        elif hasattr(leaf, "__dict__"):
            found += [value for value in vars(leaf).values() if isinstance(value, Tensor)]
    return found


def mapped(output: Any, change: Callable[[Tensor], Any]) -> Any:
    """A model's output with each of its tensors changed."""

    def part(leaf: Any) -> Any:
        if isinstance(leaf, Tensor):
            return change(leaf)
        held = {k: v for k, v in getattr(leaf, "__dict__", {}).items() if isinstance(v, Tensor)}
        if not held:
            return leaf
        found = copy(leaf)
        for name, value in held.items():
            object.__setattr__(found, name, change(value))
        return found

    return tree_map(part, output)


def _called(model: nn.Module, images: Tensor, inputs: Inputs) -> Any:
    if isinstance(inputs, Tensor):  # whose rows would be taken for inputs
        raise BadInput("inputs is a tensor: give a tuple of inputs, as in inputs=(tensor,).")
    if isinstance(inputs, Mapping):
        return model(images, **inputs)
    return model(images, *inputs)


@contextmanager
def _plain(images: Tensor) -> Generator[None]:
    """Inside: gradients, full precision, nothing compiled and nothing recomputed."""
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(torch.autocast(images.device.type, enabled=False))
        if "torch._dynamo" in sys.modules:
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.enter_context(_unchecked())
        yield


class _Unchecked:
    """Stands for torch.utils.checkpoint's reentrant function: autograd.grad cannot go through it,
    and what it computes is what it is given."""

    @staticmethod
    def apply(function: Any, preserve_rng_state: bool, *args: Any) -> Any:
        return function(*args)


@contextmanager
def _unchecked() -> Generator[None]:
    found = checkpoint.CheckpointFunction
    setattr(checkpoint, "CheckpointFunction", _Unchecked)  # noqa: B010
    try:
        yield
    finally:
        if found is not _Unchecked:
            setattr(checkpoint, "CheckpointFunction", found)  # noqa: B010


def no_gradient(model: nn.Module) -> UnsupportedModel:
    """What to say of a model through which no gradient comes back to the images."""
    return UnsupportedModel(
        f"No gradient leads from the output of {type(model).__name__} back to the images: its "
        "forward detaches them, or runs under torch.no_grad or torch.inference_mode. Explain the "
        "module inside it, or call its layers without that."
    )
