"""Weights made random from the classifier down: a map must change with them.

Adebayo et al., Sanity checks for saliency maps, NeurIPS 2018. After the last stage no weight is
trained: the map of an untrained network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd
import torch
from torch import Tensor, nn

from bench.sanity.alike import alike, share
from naflow import Flow, metrics
from naflow.methods import METHODS
from naflow.scores import ClassLogit

LAST = "head"  # the last feature map of EfficientNet-Lite0
#: Modules of EfficientNet-Lite0 whose weights become random, one after the other.
STAGES = ("classifier", "head", *(f"stages.{number}" for number in reversed(range(7))), "stem")


def randomised(
    method: str,
    network: nn.Module,
    image: Tensor,
    target: int,
    mask: Tensor,
    layers: Sequence[str],
    seed: int,
) -> pd.DataFrame:
    """Return one row per layer: the intact map's `share` on the object, `kept`, its sum over that
    of the last feature map's, and `empty`; after each stage the map's rank correlation with it, its
    share on the object and whether it is empty, as `rank STAGE`, `share STAGE`, `empty STAGE`.

    image (1, 3, H, W), mask (H, W) bool, target the class explained
    """
    flows: list[Flow] = []

    def remembering(model: nn.Module) -> Callable[..., Flow]:
        explainer = METHODS[method](model)

        def explained(*given: object, **settings: object) -> Flow:
            flows.append(explainer(*given, **settings))  # ty: ignore[invalid-argument-type]
            return flows[-1]

        return explained

    score = ClassLogit(torch.tensor([target]))
    metrics.cascading_randomisation(
        remembering,  # ty: ignore[invalid-argument-type]
        network,
        image,
        score,
        stages=STAGES,
        layers=[*layers, LAST],
        seed=seed,
    )
    intact, *changed = flows
    return pd.DataFrame([_row(intact, changed, layer, mask[None]) for layer in layers])


def _row(intact: Flow, changed: Sequence[Flow], layer: str, masks: Tensor) -> dict[str, float]:
    own = intact[layer]
    row = {
        "share": share(own, masks),
        "kept": _sum(own) / _sum(intact[LAST]),
        "empty": metrics.empty(own.clamp(min=0)),
    }
    for stage, flow in zip(STAGES, changed, strict=True):
        other = flow[layer]
        row[f"rank {stage}"] = alike(own, other)
        row[f"share {stage}"] = share(other, masks)
        row[f"empty {stage}"] = metrics.empty(other.clamp(min=0))
    return {name: float(value) for name, value in row.items()}


def _sum(maps: Tensor) -> Tensor:
    return maps.detach().clamp(min=0).double().sum((1, 2))
