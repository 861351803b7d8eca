"""The Grad-CAM family, for all layers from one forward and one reverse pass.

A map is raw, (B, h, w), computed from the activation x (B, C, h, w) of a layer and its importance
coefficients g = dS/dx, of the same shape. Signals give (B, l) from (B, C, l), volumes (B, d, h, w)
from (B, C, d, h, w). The constants 1e-6 and 1e-7 are those of pytorch-grad-cam, against which the
maps are tested.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from naflow.explainer import Explainer
from naflow.flow import Flow
from naflow.reverse.record import Record


def space(x: Tensor) -> tuple[int, ...]:
    """Return the spatial axes of x (B, C, *size)."""
    return tuple(range(2, x.ndim))


class CAM(Explainer):
    """A method that computes the map of a layer only from its activation and importance."""

    #: Whether a map may be negative, where the evidence is against the score.
    signed = False

    @abstractmethod
    def evidence(self, x: Tensor, g: Tensor) -> Tensor:
        """Return the evidence (B, *size) of activation x and importance g, both (B, C, *size). The
        map is its positive part, or the evidence itself if the method is signed."""

    def explain(self, record: Record, layers: Sequence[str] | None, keep: Sequence[str]) -> Flow:
        order = [name for name in record.layers if layers is None or name in layers]
        maps, importance = {}, {}
        for point in record.descend() if order else ():
            for layer in point.maps:
                if layer.name in order:
                    evidence = self.evidence(layer.activation, layer.importance)
                    record.check_finite(layer.name, evidence)
                    maps[layer.name] = evidence if self.signed else evidence.relu()
                    if "importance" in keep:
                        importance[layer.name] = layer.importance
            if len(maps) == len(order):
                break
        return Flow(
            layers=order,
            maps={name: maps[name] for name in order},
            score=record.score,
            prediction=record.prediction,
            output=record.output,
            method=self.name,
            importance={name: importance[name] for name in order if name in importance},
        )


class GradCAM(CAM):
    """ReLU(sum_k mean_ij(g_k) x_k): Selvaraju et al., ICCV 2017."""

    name = "Grad-CAM"

    def evidence(self, x: Tensor, g: Tensor) -> Tensor:
        return (g.mean(space(g), keepdim=True) * x).sum(1)


class HiResCAM(CAM):
    """ReLU(sum_k g_k x_k): Draelos and Carin, 2020."""

    name = "HiResCAM"

    def evidence(self, x: Tensor, g: Tensor) -> Tensor:
        return (g * x).sum(1)


class LayerCAM(CAM):
    """ReLU(sum_k ReLU(g_k) x_k): Jiang et al., IEEE TIP 2021."""

    name = "LayerCAM"

    def evidence(self, x: Tensor, g: Tensor) -> Tensor:
        return (g.relu() * x).sum(1)


class GradCAMPlusPlus(CAM):
    """Weights sum_ij a_ij ReLU(g_ij), a = g^2 / (2 g^2 + sum(x) g^3): Chattopadhay et al., 2018."""

    name = "Grad-CAM++"

    def evidence(self, x: Tensor, g: Tensor) -> Tensor:
        total = x.sum(space(x), keepdim=True)
        a = g.square() / (2 * g.square() + total * g.pow(3) + 1e-6)
        weights = torch.where(g != 0, a * g.relu(), 0.0).sum(space(x), keepdim=True)
        return (weights * x).sum(1)


class XGradCAM(CAM):
    """Weights sum_ij g_ij x_ij / sum_ij x_ij: Fu et al., BMVC 2020."""

    name = "XGrad-CAM"

    def evidence(self, x: Tensor, g: Tensor) -> Tensor:
        total = x.sum(space(x), keepdim=True)
        weights = (g * x / (total + 1e-7)).sum(space(x), keepdim=True)
        return (weights * x).sum(1)
