"""NAFlow: where a CNN looked, layer by layer, on its way to a decision."""

from naflow import explainers, scores
from naflow.cascade import NAFlow
from naflow.config import PRESETS, InverseConfig
from naflow.errors import BadInput, NAFlowError, NotFinite, UnsupportedModel
from naflow.flow import Flow, LayerStats

__version__ = "0.1.0"

__all__ = [
    "PRESETS",
    "BadInput",
    "Flow",
    "InverseConfig",
    "LayerStats",
    "NAFlow",
    "NAFlowError",
    "NotFinite",
    "UnsupportedModel",
    "explainers",
    "scores",
]
