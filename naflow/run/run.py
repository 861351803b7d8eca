"""Run the model once and record its forward pass."""

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

#: What the model takes besides the images: more positional arguments, or keyword arguments.
Inputs = Sequence[Any] | Mapping[str, Any]


@dataclass
class Run:
    """The record of one forward pass.

    model       the model that ran, without wrappers
    images      the value of the images; its gradient is that of the images
    inputs      what the model took besides the images
    values      every value that depends on the images, in order
    operations  every operation on such values, in order
    output      what the model returned, with its autograd graph
    tape        finds the value of a tensor
    """

    model: nn.Module
    images: Value
    inputs: Inputs
    values: list[Value]
    operations: list[Operation]
    output: Any
    tape: Tape

    def is_sequence(self, path: str) -> bool:
        """Whether the module at this path is a bare nn.Sequential."""
        return path in self.tape.sequences

    def ends(self) -> list[Value]:
        """Return the values of the output's tensors.

        Raises UnsupportedModel if none of them depends on the images.
        """
        values = [value for t in parts(self.output) if (value := self.tape.value_of(t)) is not None]
        if not values:
            raise no_gradient(self.model)
        return list(dict.fromkeys(values))

    def behind(self, tensor: Tensor) -> list[Value]:
        """Return the recorded values that a tensor, computed from the output, depends on."""
        return self.tape.behind(tensor)


def run(
    model: nn.Module,
    images: Tensor,
    inputs: Inputs = (),
    execute: Execute | None = None,
    *,
    check: bool = True,
) -> Run:
    """Run the model once on images (B, C, ...) and record its forward pass.

    The model itself runs, with gradients and in float32, even inside autocast, inference_mode or
    no_grad. DataParallel and torch.compile wrappers are removed. inputs are constants. execute, if
    given, makes each call in PyTorch's place. Call this inside `preserved(model)`, for evaluation
    mode.

    Raises BadInput if the images do not fit the model or it raises an error, UnsupportedModel if it
    gives no gradients.
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
        except Exception as error:  # of the model's own
            raise BadInput(
                f"{type(model).__name__} cannot run on images of shape {tuple(images.shape)}: "
                f"{type(error).__name__}: {error}"
            ) from error
    return Run(model, tape.values[0], inputs, tape.values, tape.operations, output, tape)


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model inside DataParallel and torch.compile wrappers."""
    while True:
        if isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            model = model.module
        elif isinstance(inner := model.__dict__.get("_modules", {}).get("_orig_mod"), nn.Module):
            model = inner  # torch.compile
        else:
            return model


def parts(output: Any) -> list[Tensor]:
    """Return the tensors in a model's output: in tuples, dicts, dataclasses and plain objects."""
    tensors = []
    for leaf in tree_leaves(output):
        if isinstance(leaf, Tensor):
            tensors.append(leaf)
        elif hasattr(leaf, "__dict__"):
            tensors += [value for value in vars(leaf).values() if isinstance(value, Tensor)]
    return tensors


def mapped(output: Any, change: Callable[[Tensor], Any]) -> Any:
    """Return a model's output with `change` applied to each of its tensors."""

    def part(leaf: Any) -> Any:
        if isinstance(leaf, Tensor):
            return change(leaf)
        held = {k: v for k, v in getattr(leaf, "__dict__", {}).items() if isinstance(v, Tensor)}
        if not held:
            return leaf
        changed = copy(leaf)
        for name, value in held.items():
            object.__setattr__(changed, name, change(value))
        return changed

    return tree_map(part, output)


def _called(model: nn.Module, images: Tensor, inputs: Inputs) -> Any:
    if isinstance(inputs, Tensor):  # each row would be taken for an input
        raise BadInput("inputs is a tensor: give a tuple of inputs, as in inputs=(tensor,).")
    if isinstance(inputs, Mapping):
        return model(images, **inputs)
    return model(images, *inputs)


@contextmanager
def _plain(images: Tensor) -> Generator[None]:
    """Run the block with gradients, in full precision, without compiling or checkpointing."""
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(torch.autocast(images.device.type, enabled=False))
        if "torch._dynamo" in sys.modules:
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.enter_context(_unchecked())
        yield


class _Unchecked:
    """Replaces torch.utils.checkpoint's reentrant function, which autograd.grad cannot pass; it
    calls the function without checkpointing."""

    @staticmethod
    def apply(function: Any, preserve_rng_state: bool, *args: Any) -> Any:
        return function(*args)


@contextmanager
def _unchecked() -> Generator[None]:
    original = checkpoint.CheckpointFunction
    setattr(checkpoint, "CheckpointFunction", _Unchecked)  # noqa: B010
    try:
        yield
    finally:
        if original is not _Unchecked:
            setattr(checkpoint, "CheckpointFunction", original)  # noqa: B010


def no_gradient(model: nn.Module) -> UnsupportedModel:
    """Return the error for a model whose output has no gradient with respect to the images."""
    return UnsupportedModel(
        f"No gradient leads from the output of {type(model).__name__} back to the images: its "
        "forward detaches them, or runs under torch.no_grad or torch.inference_mode. Explain the "
        "module inside it, or call its layers without that."
    )
