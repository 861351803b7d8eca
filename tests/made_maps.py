"""Finished maps that no network made: any numbers, written by the pipeline's own writer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from naflow import Flow
from naflow.flow import LayerStats
from naflow.linalg import Stop
from pipeline.explanations import parts
from pipeline.explanations.cases import Case
from pipeline.explanations.job import Job

LAYERS = {"conv": (8, 8), "block.0": (4, 6), "block.1": (2, 2)}


@dataclass(frozen=True)
class Answer:
    """What is said beside the maps of N cases; prediction -1 and (N, D) weights for likenesses."""

    sure: Tensor
    predicted: Tensor
    weighted: Tensor

    def confidence(self, _: Flow) -> Tensor:
        return self.sure

    def prediction(self, _: Flow) -> Tensor:
        return self.predicted

    def weights(self, _: Flow) -> Tensor:
        return self.weighted


def made(
    folder: Path,
    images: Mapping,
    cases: Sequence[Case],
    classes: Sequence[str] = ("cross", "disc"),
    layers: Mapping[str, tuple[int, int]] = LAYERS,
    seed: int = 0,
    size: int = 32,
) -> dict[str, np.ndarray]:
    """Write folder (model/method) for `cases`, a class or a likeness each; returns its maps, layer
    -> (N, h, w). The method "naflow" has statistics, others solve nothing."""
    rng, count = np.random.default_rng(seed), len(cases)
    values = {
        # Few values are large, as in real maps, and layers differ by orders of magnitude.
        name: (rng.gamma(0.4, 10.0**-place, (count, *shape))).astype(np.float32)
        for place, (name, shape) in enumerate(layers.items())
    }
    stats = {
        name: LayerStats(
            rule="convolution" if place else "",
            iterations=torch.full((count,), 5 * place),
            residual=torch.full((count,), 0.25 * place),
            stop=[Stop.LEAST_SQUARES if place else Stop.CLOSED_FORM] * count,
            norm_ratio=torch.full((count,), 0.5 + place),
            abandoned=torch.full((count,), 0.125, dtype=torch.float64),
        )
        for place, name in enumerate(layers)
    }
    flow = Flow(
        layers=list(layers),
        maps={name: torch.from_numpy(value) for name, value in values.items()},
        score=torch.ones(count),
        prediction=None,
        output=None,
        method=folder.name,
        stats=stats if folder.name == "naflow" else {},
    )
    likeness = bool(cases[0].reference)
    answer = Answer(
        torch.linspace(0.6, 0.9, count),
        torch.full((count,), -1) if likeness else torch.arange(count) % len(classes),
        torch.from_numpy(rng.dirichlet(np.ones(20), count)) if likeness else torch.zeros(count, 0),
    )
    labels = [case.picture.split("_")[0] for case in cases]
    about = {
        "method": {"naflow": "NAFlow (selective)"}.get(folder.name, "Grad-CAM"),
        "model": folder.parent.name,
        "classes": list(classes),
        "settings": {
            "images": {"name": "made"} | dict(images),
            "model": {"input": {"size": size, "fit": "crop"}},
            "method": {},
        },
        "seed": 0,
        "weights_sha256": "0123456789abcdef" * 4,
        "job": "made",
    }
    job = Job(folder, 1, about)
    job.add(0, "0", parts.arrays(flow, answer, cases, labels))
    job.finish()
    return values
