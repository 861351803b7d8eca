"""Two pictures of one class: a map must depend on its picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd
import torch
from torch import Tensor

from bench.photographs import predicted, shown
from bench.sanity.alike import alike
from naflow.methods import METHODS
from naflow.models import Pretrained
from naflow.scores import ClassLogit
from pipeline.pictures.images import Picture

Pair = tuple[str, int, Tensor]  # the names of both, their class, their images (2, 3, H, W)


def pairs(known: Pretrained, pictures: Iterable[Picture], count: int) -> list[Pair]:
    """Return the first `count` pairs of pictures that are given one class, one pair a class."""
    waiting: dict[int, tuple[Picture, Tensor]] = {}
    found: dict[int, Pair] = {}
    for one, image, _ in shown(known, pictures):
        if len(found) == count:
            break
        target = predicted(known, image)
        if target in waiting and target not in found:
            first, before = waiting[target]
            found[target] = f"{first.id} {one.id}", target, torch.cat([before, image])
        waiting.setdefault(target, (one, image))
    return list(found.values())


def compared(method: str, known: Pretrained, pair: Pair, layers: Sequence[str]) -> pd.DataFrame:
    """Return one row per layer: the rank correlation of the maps of both pictures, as `pair`."""
    _, target, images = pair
    flow = METHODS[method](known.network)(
        images, ClassLogit(torch.tensor([target, target])), layers=list(layers)
    )
    return pd.DataFrame({"pair": [float(alike(flow[one][:1], flow[one][1:])) for one in layers]})
