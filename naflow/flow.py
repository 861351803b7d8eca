"""The attention flow: what every explainer returns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from naflow.blocks import block_ends
from naflow.errors import BadInput, near_names
from naflow.linalg import Stop
from naflow.table import aligned


@dataclass(frozen=True)
class LayerStats:
    """How one layer's back-propagated feature map x~ was computed; tensors are (B,), on the CPU.

    rule        the inverse rule ("" at the deepest layer, where x~ = x)
    iterations  iterations of the solver; 0 for a closed form
    residual    ||P (J x~ + c - z~)|| / ||P (c - z~)||: the relative residual of the equations
    stop        why the solver stopped, a member of naflow.linalg.Stop for each image
    norm_ratio  ||x~|| / ||x||, with x the forward activation; 1 if nothing is solved: then x~ is x,
                apart from the abandoned neurons
    abandoned   share of the layer's neurons that are abandoned
    """

    rule: str
    iterations: Tensor
    residual: Tensor
    stop: list[Stop]
    norm_ratio: Tensor
    abandoned: Tensor


@dataclass(frozen=True)
class Flow:
    """One attention map per layer, shallow to deep, for a batch of images.

    layers      the layers' names, as the model has them
    maps        layer -> (B, h, w), raw (neither scaled nor resized), on the model's device
    score       (B,) the scalar that is explained, as the model computed it
    prediction  (B,) the predicted class; (B, H, W) for a segmentation; None for an embedding
    output      the model's output
    method      the method's name, as in "Grad-CAM"
    stats       layer -> LayerStats; empty for methods other than NAFlow
    importance  layer -> (B, C, h, w) importance coefficients, with keep=("importance",)
    bpfm        layer -> (B, C, h, w) back-propagated feature maps, with keep=("bpfm",)
    """

    layers: list[str]
    maps: dict[str, Tensor]
    score: Tensor
    prediction: Tensor | None
    output: Any
    method: str
    stats: dict[str, LayerStats] = field(default_factory=dict)
    importance: dict[str, Tensor] = field(default_factory=dict)
    bpfm: dict[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[tuple[str, Tensor]]:
        return iter(self.maps.items())

    def __getitem__(self, layer: str) -> Tensor:
        """Return the raw map (B, h, w) of a layer. Raises BadInput, with similar names, for an
        unknown layer."""
        if layer not in self.maps:
            raise BadInput(f"The flow has no layer '{layer}'.{near_names(layer, self.layers)}")
        return self.maps[layer]

    @property
    def blocks(self) -> list[str]:
        """Names of the layers that end a stage or block, shallow to deep, at most twelve: what a
        person calls the network's layers (see naflow.blocks)."""
        return block_ends({layer: (m.shape[-2], m.shape[-1]) for layer, m in self.maps.items()})

    def stack(self, size: tuple[int, int]) -> Tensor:
        """Return all L raw maps, resized bilinearly to size (H, W), as (B, L, H, W), shallow to
        deep."""
        resized = [
            interpolate(m[:, None], size=size, mode="bilinear", align_corners=False)
            for m in self.maps.values()
        ]
        return torch.cat(resized, dim=1)

    def __repr__(self) -> str:
        batch = len(self.score)
        head = f"Flow by {self.method}: {len(self)} layers, {batch} image{'s' * (batch != 1)}"
        return f"{head}, {self.layers[0]} ... {self.layers[-1]}" if self.layers else head

    def table(self) -> str:
        """Return the statistics as text, one line per layer: the largest values in the batch, and
        the mean share abandoned."""
        heads = ("layer", "rule", "iterations", "residual", "|x~|/|x|", "abandoned", "stop")
        return aligned([heads, *(self._cells(layer) for layer in self.stats)])

    def _cells(self, layer: str) -> tuple[str, ...]:
        stats = self.stats[layer]
        return (
            layer,
            stats.rule,
            str(int(stats.iterations.max())),
            f"{float(stats.residual.max()):.1e}",
            f"{float(stats.norm_ratio.max()):.3g}",
            f"{float(stats.abandoned.mean()):.1%}",
            ", ".join(sorted({stop.name.lower() for stop in stats.stop})),
        )
