"""How much of each map lies on the object, and off it: one number a layer."""

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
    """metric(maps, objects) at each layer, (L,): the mean over the pictures whose object is known.

    Maps that are zero everywhere point nowhere and are left out; NaN where none is left, and where
    the method has no map of the layer.
    """
    found = []
    for name in names:
        values = []
        for view in with_object(views):
            if name not in view.maps[method]:
                continue
            attention = torch.from_numpy(view.maps[method][name])[None]
            if not empty(attention):
                values.append(float(metric(attention, torch.from_numpy(extent(view))[None])))
        found.append(np.mean(values) if values else np.nan)
    return np.array(found)


def with_object(views: Sequence[View]) -> list[View]:
    """The pictures whose object is known, by mask or box, and does not fill them."""
    return [view for view in views if extent(view).any() and not extent(view).all()]


UNKNOWN = "No picture shown has a mask or box beside which there is background"


def without(material: Material, method: str, names: Sequence[str]) -> str:
    """A few words where a method has no map of some layer; "" where it has them all."""
    lacking = material.lacking(method, names)
    called = material.found[method].manifest["method"]
    return f"{called} has no map of {', '.join(lacking)}" * bool(lacking)


def known_by(views: Sequence[View]) -> str:
    """A sentence where boxes stand for objects; "" where all have masks."""
    count = sum(map(by_box, views))
    return f" The object is its whole box in {count} of {len(views)} pictures." * bool(count)


def known_mean(values: np.ndarray) -> float:
    """The mean of those that are not NaN; NaN of none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def rounded(names: Sequence[str], values: Iterable[float]) -> dict[str, float | None]:
    """Numbers by layer, for JSON: None for NaN."""
    return {
        name: None if np.isnan(value) else round(float(value), 4)
        for name, value in zip(names, values, strict=True)
    }
