"""The model from a layer on, and that layer without one of its channels."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from naflow.chain import Chain
from naflow.explainers.bridge import Run
from naflow.record import Record
from naflow.units import Unit


class Ablated(nn.Module):
    """Stands in a layer's place and gives its activation, a copy for each channel that is left out.

    Its methods are those of pytorch-grad-cam's AblationLayer, which calls them.
    """

    def activations_to_be_ablated(self, activations: np.ndarray, _: float) -> np.ndarray:
        """The numbers of the channels, all of them."""
        self.indices = np.arange(len(activations))
        return self.indices

    def set_next_batch(
        self, input_batch_index: int, activations: Tensor, num_channels_to_ablate: int
    ) -> None:
        """Of which image the next channels are."""
        one = activations[input_batch_index]
        self.activations = one.expand(num_channels_to_ablate, *one.shape)

    def forward(self, _: Tensor) -> Tensor:
        found = self.activations.clone()
        channels = torch.as_tensor(self.indices[: len(found)], device=found.device)
        found[torch.arange(len(found), device=found.device), channels] = 0
        return found


def rest_of(chain: Chain, record: Record, layer: str) -> tuple[Tensor, Run]:
    """Where the model can begin so that it passes the layer, and what then runs: run(cut, start)
    is the model's output, with cut applied to the layer's activation."""
    if not chain.in_line:
        module = chain.units[record.names.index(layer) - 1].module
        return record.activations[0], lambda cut, x: _hooked(chain.model, module, cut, x)
    number = next(
        number
        for number, unit in enumerate(record.units)
        if layer == unit.name or layer in record.inner.get(unit.name, {})
    )
    unit, after = record.units[number], chain.units[number + 1 :]
    if layer == unit.name:
        return record.activations[number + 1], lambda cut, x: _through(after, cut(x))
    return (
        record.activations[number],
        lambda cut, x: _through(after, _Inside(unit, layer, cut).run(x)),
    )


def _through(units: list[Unit], x: Any) -> Any:
    for unit in units:
        x = unit.module(x)
    return x


def _hooked(model: nn.Module, module: nn.Module, cut: nn.Module, x: Tensor) -> Any:
    handle = module.register_forward_hook(lambda _, __, output: cut(output))
    try:
        return model(x.clone())
    finally:
        handle.remove()


class _Inside(fx.Interpreter):
    """Runs a unit with `cut` behind one of the feature maps on its branches."""

    def __init__(self, unit: Unit, layer: str, cut: nn.Module) -> None:
        assert isinstance(unit.module, fx.GraphModule)
        super().__init__(unit.module)
        self.node = next(node for node, name in unit.inner.items() if name == layer)
        self.cut = cut

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        return self.cut(value) if n.name == self.node else value
