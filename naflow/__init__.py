"""NAFlow: where a CNN looked, layer by layer, on its way to a decision."""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

from naflow import explainers, scores
from naflow.cascade import NAFlow
from naflow.errors import BadInput, NAFlowError, NotFinite, UnsupportedModel
from naflow.flow import Flow, LayerStats
from naflow.inverses.config import PRESETS, InverseConfig


def __getattr__(name: str) -> ModuleType:
    """naflow.models, imported when first asked for."""
    if name == "models":
        return import_module("naflow.models")
    raise AttributeError(f"module 'naflow' has no attribute {name!r}")


try:
    __version__ = version("naflow")
except PackageNotFoundError:  # the sources, imported without being installed
    __version__ = "unknown"

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
    "models",
    "scores",
]
