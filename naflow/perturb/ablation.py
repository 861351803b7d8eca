"""Run the model from a layer on, and remove single channels of that layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from naflow.run.cut import Chain, again, upstream
from naflow.run.operation import Operation
from naflow.run.run import mapped


class Ablated(nn.Module):
    """Takes a layer's place and returns copies of its activation, each with one channel set to 0.

    It has the interface of pytorch-grad-cam's AblationLayer, which that package calls.
    """

    def activations_to_be_ablated(self, activations: np.ndarray, _: float) -> np.ndarray:
        """Return the indices of all channels."""
        self.indices = np.arange(len(activations))
        return self.indices

    def set_next_batch(
        self, input_batch_index: int, activations: Tensor, num_channels_to_ablate: int
    ) -> None:
        """Choose the image whose channels are removed next."""
        one = activations[input_batch_index]
        self.activations = one.expand(num_channels_to_ablate, *one.shape)

    def forward(self, _: Tensor) -> Tensor:
        copies = self.activations.clone()
        channels = torch.as_tensor(self.indices[: len(copies)], device=copies.device)
        copies[torch.arange(len(copies), device=copies.device), channels] = 0
        return copies


class Onward:
    """The model from a feature map on: another activation (B, C, ...) -> the model's output.

    It runs the operations behind the map again, for the same number B of images. Raises
    UnsupportedModel if one of them cannot be run again.
    """

    def __init__(self, chain: Chain, layer: str) -> None:
        ran = chain.run
        unit = next(u for u in chain.units if layer == u.name or layer in u.inner)
        self.output, self._value_of = ran.output, ran.tape.value_of
        if layer == unit.name:
            self.value, self._given = unit.result, {}
        else:
            self.value = unit.inner[layer]
            self._given = {unit.source: unit.source.tensor()}
        needed = upstream(ran, ran.ends())
        order = {operation: place for place, operation in enumerate(ran.operations)}
        source = next(iter(self._given), self.value).operation
        behind = -1 if source is None else order[source]
        self._operations = [o for o in needed if order[o] > behind]

    @property
    def readers(self) -> list[Operation]:
        """The operations that take the map as input."""
        return [o for o in self._operations if self.value in o.inputs]

    @torch.no_grad()
    def __call__(self, activation: Tensor) -> Any:
        computed = again(self._operations, {**self._given, self.value: activation})

        def changed(tensor: Tensor) -> Tensor:
            value = self._value_of(tensor)
            return tensor if value is None else computed[value]

        return mapped(self.output, changed)
