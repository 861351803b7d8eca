"""Validation metrics of attention maps: localisation, shape, change from layer to layer,
faithfulness, sanity checks, and statistics over pictures.

Functions of maps take a batch of raw maps and give one number per image; those of sanity.py call an
explainer. Compare methods at the same layer only: a map's resolution limits how sharp it can be.
"""

from naflow.metrics.answers import Answers, ClassProbability
from naflow.metrics.average_drop import average_drop, increase, shown
from naflow.metrics.bootstrap import Estimate, bootstrap
from naflow.metrics.completeness import Balance, completeness
from naflow.metrics.flow_shape import (
    centroid_drift,
    smoothness,
    stabilisation_depth,
    stability,
    variation,
)
from naflow.metrics.imputation import imputed
from naflow.metrics.in_layer import Causal, Rest, abandoned_mass, causal_check, in_layer_deletion
from naflow.metrics.localisation import (
    area,
    background_share,
    best_iou,
    empty,
    energy_ratio,
    energy_share,
    inside,
    interference,
    iou,
    pointing_game,
    rank_accuracy,
)
from naflow.metrics.paired import holm, sign_flip
from naflow.metrics.perturbation import area_under, deletion, insertion
from naflow.metrics.road import road, road_combined
from naflow.metrics.sanity import (
    cascading_randomisation,
    class_accuracy,
    class_sensitivity,
    last_layer_redrawn,
    max_sensitivity,
)
from naflow.metrics.shape import correlation, effective_area, entropy, gini, rank_correlation

__all__ = [
    "Answers",
    "Balance",
    "Causal",
    "ClassProbability",
    "Estimate",
    "Rest",
    "abandoned_mass",
    "area",
    "area_under",
    "average_drop",
    "background_share",
    "best_iou",
    "bootstrap",
    "cascading_randomisation",
    "causal_check",
    "centroid_drift",
    "class_accuracy",
    "class_sensitivity",
    "completeness",
    "correlation",
    "deletion",
    "effective_area",
    "empty",
    "energy_ratio",
    "energy_share",
    "entropy",
    "gini",
    "holm",
    "imputed",
    "in_layer_deletion",
    "increase",
    "insertion",
    "inside",
    "interference",
    "iou",
    "last_layer_redrawn",
    "max_sensitivity",
    "pointing_game",
    "rank_accuracy",
    "rank_correlation",
    "road",
    "road_combined",
    "shown",
    "sign_flip",
    "smoothness",
    "stabilisation_depth",
    "stability",
    "variation",
]
