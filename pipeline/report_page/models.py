"""A model on the page: its methods, its pictures, and one flow per case and method."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from naflow.methods import ordered
from naflow.page import encoded
from pipeline.explanations.cases import Case
from pipeline.explanations.maps import STATS, Maps
from pipeline.pictures.labels import spoken
from pipeline.report_page.photographs import Photographs

LARGEST = 16  # contribution weights shown of one embedding
FIELDS = ("rule", *STATS, "stop")  # shown of each layer, if the maps have them


def model(
    name: str, methods: Mapping[str, Maps], cases: Sequence[Case], photographs: Photographs
) -> dict:
    """Return a model as JSON; its photographs are added to `photographs`."""
    shown = {key: methods[key] for key in ordered(methods)}
    manifest = next(iter(shown.values())).manifest
    pictures = dict.fromkeys(key for case in cases for key in case.pictures)
    return {
        "name": name,
        "size": manifest["settings"]["model"]["input"]["size"],
        "seed": manifest["seed"],
        "weights": manifest["weights_sha256"],
        "layers": list(dict.fromkeys(layer for maps in shown.values() for layer in maps.maps)),
        "methods": [
            {
                "key": key,
                "name": maps.manifest["method"],
                "shapes": {layer: list(values.shape[1:]) for layer, values in maps.maps.items()},
            }
            for key, maps in shown.items()
        ],
        "pictures": {key: photographs.of(key, manifest) for key in pictures},
        "cases": [told(case, shown) for case in cases],
    }


def told(case: Case, methods: Mapping[str, Maps]) -> dict:
    """Return the decision and the flows of a case as JSON."""
    flows = {key: maps for key, maps in methods.items() if case in maps.cases}
    first = next(iter(flows.values()))
    row = first.row(case)
    return asdict(case) | {
        "confidence": encoded.number(first.confidence[row]),
        "prediction": None if (name := first.predicted(row)) is None else spoken(name),
        "contributions": contributions(first.weights[row]),
        "flows": {key: flow(maps, maps.row(case)) for key, maps in flows.items()},
    }


def flow(maps: Maps, row: int) -> dict:
    """Return the maps of one case and its statistics, field -> one value per layer, as JSON."""
    stats: dict[str, list] = {}
    for field in FIELDS:
        values = [maps.stats.get(layer, {}).get(field) for layer in maps.maps]
        if any(value is not None for value in values):
            stats[field] = [None if value is None else _plain(value[row]) for value in values]
    return encoded.flow([values[row] for values in maps.maps.values()]) | {"stats": stats}


def _plain(value: Any) -> str | float | None:
    return str(value) if isinstance(value, str) else encoded.number(value)


def contributions(weights: np.ndarray) -> dict | None:
    """Return the largest of the contribution weights (D,) (Eqs 17-21) with their indices."""
    if not weights.size:
        return None
    order = np.argsort(-weights, kind="stable")[:LARGEST]
    largest = [[int(component), encoded.number(weights[component])] for component in order]
    return {"components": int(weights.size), "largest": largest}
