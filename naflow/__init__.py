"""NAFlow: where a CNN looked, layer by layer, on its way to a decision."""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from naflow.errors import BadInput, NAFlowError, NotFinite, UnsupportedModel
from naflow.presets import PRESETS, InverseConfig

if TYPE_CHECKING:
    from naflow import explainers, models, scores
    from naflow.cascade import NAFlow
    from naflow.flow import Flow, LayerStats

#: Class -> its module, for the classes that need torch. Importing torch takes seconds, and
#: `naflow --help` does not need it.
_HOMES = {"NAFlow": "naflow.cascade", "Flow": "naflow.flow", "LayerStats": "naflow.flow"}


def __getattr__(name: str) -> Any:
    """Import what needs torch on its first use."""
    if name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
    elif name in ("explainers", "models", "scores"):
        value = import_module(f"naflow.{name}")
    else:
        raise AttributeError(f"module 'naflow' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


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
