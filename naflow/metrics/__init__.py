"""Numbers of attention maps: where they lie against an object, how they are spread, how they flow.

Every function takes a batch of raw maps and gives one number an image. Compare methods at the same
layer only: the resolution of a map decides how sharp it can be.
"""

from naflow.metrics.bootstrap import Estimate, bootstrap
from naflow.metrics.localisation import (
    area,
    background_share,
    empty,
    energy_ratio,
    energy_share,
    inside,
    interference,
    pointing_game,
)
from naflow.metrics.shape import correlation, effective_area, entropy, gini, stability

__all__ = [
    "Estimate",
    "area",
    "background_share",
    "bootstrap",
    "correlation",
    "effective_area",
    "empty",
    "energy_ratio",
    "energy_share",
    "entropy",
    "gini",
    "inside",
    "interference",
    "pointing_game",
    "stability",
]
