"""Relevance-CAM: channels weighted by their relevance."""

from __future__ import annotations

from torch import Tensor

from naflow.explainers.cam import space
from naflow.explainers.lrp import LRP


class RelevanceCAM(LRP):
    """ReLU(sum_k mean_ij(R_k) x_k): Lee et al., CVPR 2021.

    The initial relevance is 1 at the class and -1/N at the others, as in the authors' code [C]; the
    paper has z_t and -z_t / (N - 1) [secondary source]. Rules [C]: z+, and z^B at the first layer
    with the bounds of each image. The authors' code has no ReLU on the map; `LRP` returns signed
    relevance. Without other classes (an embedding without others=) only the score is propagated.
    """

    name = "Relevance-CAM"
    signed = False

    def evidence(self, x: Tensor, g: Tensor) -> Tensor:
        return (g.mean(space(g), keepdim=True) * x).sum(1)

    def contrast(self, logits: Tensor, target: Tensor) -> Tensor:
        return target - (1 - target) / logits.shape[1]
