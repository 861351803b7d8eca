"""A chain named by hand, for a model that torch.fx cannot follow."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from naflow.errors import BadInput, UnsupportedModel, near_names
from naflow.units import Unit


def units_by_name(model: nn.Module, names: Sequence[str], images: Tensor) -> list[Unit]:
    """A chain of named modules, shallow to deep.

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
