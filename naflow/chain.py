"""The model as a chain of units, and its forward pass with every link recorded."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from torch import Tensor, nn

from naflow.errors import BadInput, UnsupportedModel, near_names
from naflow.inputs import check_images
from naflow.units import units_of_graph
from naflow.units_by_name import units_by_name


class Chain:
    """units, shallow to deep, and how to run the model through them.

    in_line: no path leads round a unit. Of units named by hand that is not known: what reads the
    last one may read an earlier one, too.

    Found once for a model and an image shape, and again when the model's modules change.
    """

    def __init__(self, model: nn.Module, names: Sequence[str] | None, images: Tensor) -> None:
        self.model = model
        self.in_line = names is None
        try:
            if names is not None:
                self.units = units_by_name(model, names, images)
            else:
                self.units = units_of_graph(model, images)
        except (RuntimeError, ValueError, TypeError) as error:
            if isinstance(error, (BadInput, UnsupportedModel)):
                raise
            raise BadInput(
                f"{type(model).__name__} cannot run on images of shape {tuple(images.shape)}: "
                f"{error}"
            ) from error

    def forward(
        self, images: Tensor, opened: Collection[str] = ()
    ) -> tuple[list[Tensor], dict[str, dict[str, Tensor]], Any]:
        """The activation after every unit, (B, ...) each; of the units named in `opened`, the
        feature maps inside, unit -> name -> (B, C, H, W); and the model's output."""
        if not self.in_line:
            activations, output = self._forward_by_name(images)
            return activations, {}, output
        activations, inner = [], {}
        x: Any = images
        for unit in self.units:
            if unit.name in opened:
                x, inner[unit.name] = unit.inside(x)
            else:
                x = unit.module(x)
            if isinstance(x, Tensor):
                activations.append(x)
        return activations, inner, x

    def opened(self, detail: bool | Sequence[str]) -> list[str]:
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

    def _forward_by_name(self, images: Tensor) -> tuple[list[Tensor], Any]:
        made: dict[str, Tensor] = {}
        versions: dict[str, int] = {}

        def keep(name: str) -> Callable:
            def hook(_: nn.Module, __: tuple, output: Tensor) -> None:
                made[name], versions[name] = output, output._version

            return hook

        hooks = [unit.module.register_forward_hook(keep(unit.name)) for unit in self.units]
        try:
            output = self.model(images.clone())  # the model may begin with an in-place layer
        finally:
            for hook in hooks:
                hook.remove()
        for name, version in versions.items():
            if made[name]._version != version:
                raise UnsupportedModel(
                    f"The output of '{name}' is overwritten in place by what follows it: "
                    "include that operation in the unit, or make it out of place."
                )
        return [made[unit.name] for unit in self.units], output


class ChainCache:
    """Chains of one model, kept as long as its modules and parameters stay the same objects."""

    def __init__(self, model: nn.Module, names: Sequence[str] | None = None) -> None:
        self.model = model
        self.names = None if names is None else list(names)
        self._chains: dict[tuple, Chain] = {}
        self._identity: tuple = ()

    def chain(self, images: Tensor) -> Chain:
        """The chain for these images; call it inside `preserved(model)`.

        Raises BadInput for images that do not fit the model, UnsupportedModel for a model that
        cannot be cut.
        """
        check_images(self.model, images)
        identity = (*map(id, self.model.modules()), *map(id, self.model.parameters()))
        if identity != self._identity:
            self._chains, self._identity = {}, identity
        key = (tuple(images.shape), images.device)
        if key not in self._chains:
            if len(self._chains) >= 8:  # many image sizes: forget the oldest
                self._chains.pop(next(iter(self._chains)))
            self._chains[key] = Chain(self.model, self.names, images)
        return self._chains[key]
