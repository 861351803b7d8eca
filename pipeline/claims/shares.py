"""Localisation metrics at each layer, averaged over the pictures of a figure."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from naflow.metrics import empty
from pipeline.material.extent import by_box, extent
from pipeline.material.view import Material, View


def through(
    views: Sequence[View],
    method: str,
    names: Sequence[str],
    metric: Callable[[Tensor, Tensor], Tensor],
) -> np.ndarray:
    """Return metric(maps, objects) at each layer, (L,): means over the pictures whose object is
    known.

    Maps of zeros are left out. NaN if no map is left, or the method has no map of the layer.
    """
    means = []
    for name in names:
        values = []
        for view in with_object(views):
            if name not in view.maps[method]:
                continue
            attention = torch.from_numpy(view.maps[method][name])[None]
            if not empty(attention):
                values.append(float(metric(attention, torch.from_numpy(extent(view))[None])))
        means.append(np.mean(values) if values else np.nan)
    return np.array(means)


def with_object(views: Sequence[View]) -> list[View]:
    """Return the pictures whose object is known, by mask or box, and does not fill the picture."""
    return [view for view in views if extent(view).any() and not extent(view).all()]


UNKNOWN = "No picture shown has a mask or box beside which there is background"


def without(material: Material, method: str, names: Sequence[str]) -> str:
    """Return which of these layers a method has no map of, as text; "" if it has all."""
    lacking = material.lacking(method, names)
    called = material.found[method].manifest["method"]
    return f"{called} has no map of {', '.join(lacking)}" * bool(lacking)


def known_by(views: Sequence[View]) -> str:
    """Return a sentence that says in how many pictures the object is its box; "" if all have
    masks."""
    count = sum(map(by_box, views))
    return f" The object is its whole box in {count} of {len(views)} pictures." * bool(count)


def known_mean(values: np.ndarray) -> float:
    """Return the mean of the values that are not NaN; NaN if there are none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def rounded(names: Sequence[str], values: Iterable[float]) -> dict[str, float | None]:
    """Return name -> rounded number, for JSON; None for NaN."""
    return {
        name: None if np.isnan(value) else round(float(value), 4)
        for name, value in zip(names, values, strict=True)
    }
