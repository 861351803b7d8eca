"""Claims about the background's share of the maps."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from naflow.metrics import background_share
from pipeline.claims.claim import Verdict
from pipeline.claims.shares import UNKNOWN, known_by, rounded, through, with_object, without
from pipeline.material.extent import extent
from pipeline.material.view import Material


@dataclass(frozen=True)
class BackgroundFalls:
    """The background's share of the map falls with depth."""

    method: str
    layers: Sequence[str]

    def __call__(self, material: Material) -> Verdict:
        names = material.layers(self.layers)
        method = material.found[self.method].manifest["method"]
        claim = f"The background's share of {method}'s map falls with depth."
        reading = (
            "Share: the map's sum outside the object over its sum, the mean over the pictures "
            "shown. Falls: the rank correlation (Spearman) of depth and share is negative, and "
            "the last share below the first."
        )
        views = with_object(material.views)
        lacks = without(material, self.method, names)
        if lacks or not views:
            return Verdict(claim, None, reading, lacks or UNKNOWN)
        shares = {one: through(views, one, names, background_share) for one in material.found}
        own = shares[self.method]
        trend = rank_correlation(own)
        area = float(np.mean([1 - extent(view).mean() for view in views]))
        return Verdict(
            claim,
            bool(trend < 0 and own[-1] < own[0]),
            reading + known_by(views),
            f"From {own[0]:.2f} at {names[0]} to {own[-1]:.2f} at {names[-1]}, rank correlation "
            f"{trend:+.2f}; the background's area {area:.2f}",
            {
                "pictures": len(views),
                "area": round(area, 4),
                "share": {one: rounded(names, values) for one, values in shares.items()},
                "rank_correlation": {
                    one: rounded(["all"], [rank_correlation(values)])["all"]
                    for one, values in shares.items()
                },
            },
        )


def rank_correlation(values: np.ndarray) -> float:
    """Return Spearman's correlation of numbers and their positions; NaN for fewer than two numbers,
    or if all are equal."""
    ranks = pd.Series(values).dropna().rank().to_numpy()
    if len(ranks) < 2 or np.ptp(ranks) == 0:
        return float("nan")
    return float(np.corrcoef(np.arange(len(ranks)), ranks)[0, 1])
