"""Sanity checks of maps: with a random last layer, and for a class that the picture does not show
or a reference that it does not resemble."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, normalize

from naflow import Flow, metrics
from pipeline.measuring.asked import Asked, OfClass, OfLikeness
from pipeline.measuring.measures import Numbers
from pipeline.measuring.panel import Panel

CELLS = 28  # side to which maps are averaged before rank correlation: finer ones differ by texture


def sanity(
    explain: Callable[[nn.Module], Callable[..., Flow]],
    network: nn.Module,
    panel: Panel,
    flow: Flow,
    layers: list[str],
    seed: int,
) -> dict[str, Numbers]:
    """Compare the maps of `flow` with maps that should differ: layer -> name -> (B,). {} for a
    similarity whose references were given, not found among known pictures.

    explain  makes the method for a network

    redrawn_share, redrawn_rank  of the same class's map, with a random last layer: its share on the
                                 object, and its rank correlation with the true map; not of a
                                 similarity, whose reference would change, too
    absent_share, absent_rank    the same of the map for a class drawn among the less probable half,
                                 or for a reference drawn among the less similar half
    empty, redrawn_empty, absent_empty  1 for a map that is zero everywhere, else 0. The share of
                                 such a map is NaN; its correlation with a true map that is not
                                 empty is 0
    """
    others = {}
    if isinstance(panel.asked, OfClass):
        redrawn = metrics.last_layer_redrawn(network, panel.images[:1], seed)
        score = panel.asked.score(panel.rows)
        others["redrawn"] = explain(redrawn)(panel.images, score, layers=layers)
        absent: Asked = OfClass(absent_classes(flow.output, panel.ids, seed))
    elif isinstance(panel.asked, OfLikeness) and panel.known is not None:
        alike = normalize(flow.output.cpu().flatten(1)) @ normalize(panel.known.flatten(1)).T
        drawn = panel.known[absent_classes(alike, panel.ids, seed)]
        absent = replace(panel.asked, references=drawn)
    else:
        return {}
    others["absent"] = explain(network)(panel.images, absent.score(panel.rows), layers=layers)
    return {
        layer: _compared(flow[layer], {name: other[layer] for name, other in others.items()}, panel)
        for layer in layers
    }


def absent_classes(logits: Tensor, ids: Sequence[str], seed: int) -> Tensor:
    """Return for each picture a class (B,) among the less probable half of logits (B, N), drawn by
    seed and the picture's id; of cosines (B, M), a picture among the less similar half."""
    order = logits.argsort(1).cpu()
    half = max(1, logits.shape[1] // 2)
    drawn = [Random(f"absent {seed} {name}").randrange(half) for name in ids]
    return order[torch.arange(len(drawn)), torch.tensor(drawn)]


def _compared(true: Tensor, others: dict[str, Tensor], panel: Panel) -> Numbers:
    own = _positive(true)
    numbers = {"empty": metrics.empty(own).double()}
    for name, maps in others.items():
        other = _positive(maps)
        nothing = metrics.empty(other)
        share = metrics.energy_share(other, panel.masks)
        rank = metrics.rank_correlation(_pooled(own), _pooled(other))
        numbers |= {
            f"{name}_share": share.masked_fill(nothing, torch.nan),
            f"{name}_rank": rank.masked_fill(metrics.empty(own), torch.nan),
            f"{name}_empty": nothing.double(),
        }
    return numbers


def _positive(maps: Tensor) -> Tensor:
    return maps.detach().clamp(min=0).cpu()


def _pooled(maps: Tensor) -> Tensor:
    """Average maps (B, h, w) down to at most CELLS a side."""
    height, width = (min(CELLS, side) for side in maps.shape[1:])
    return adaptive_avg_pool2d(maps[:, None].double(), (height, width))[:, 0]
