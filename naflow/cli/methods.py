"""The methods of the command line: every explainer that needs nothing but a model and a score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from naflow.cascade import NAFlow, Progress
from naflow.errors import BadInput, near_names
from naflow.explainer import Explainer
from naflow.explainers import (
    CFCAM,
    CLRP,
    LRP,
    SGLRP,
    GradCAM,
    GradCAMPlusPlus,
    HiResCAM,
    LayerCAM,
    RelevanceCAM,
    XGradCAM,
)

METHODS: dict[str, Callable[..., Explainer]] = {
    "naflow": NAFlow,
    "gradcam": GradCAM,
    "gradcam++": GradCAMPlusPlus,
    "xgradcam": XGradCAM,
    "hirescam": HiResCAM,
    "layercam": LayerCAM,
    "lrp": LRP,
    "clrp": CLRP,
    "sglrp": SGLRP,
    "relevancecam": RelevanceCAM,
    "cfcam": CFCAM,
}

_SLOW = ("naflow", "cfcam")  # those that tell their progress


def explainers(
    names: Sequence[str], network: nn.Module, preset: str | None, progress: Progress | None = None
) -> dict[str, Explainer]:
    """An explainer for each name, each name once.

    preset    of the method naflow, by default "selective"
    progress  called as progress(layer, done, total) by the methods that take their time

    Raises BadInput for an unknown name or preset, with the near ones, and for a preset that no
    method takes.
    """
    for name in names:
        if name not in METHODS:
            raise BadInput(f"There is no method {name!r}.{near_names(name, METHODS)}")
    if preset is not None and "naflow" not in names:
        raise BadInput(f"--preset {preset} is for the method naflow, which was not asked for.")
    made: dict[str, Explainer] = {}
    for name in names:
        settings: dict[str, Any] = {"progress": progress} if name in _SLOW else {}
        if name == "naflow":
            settings["preset"] = preset or "selective"
        made[name] = METHODS[name](network, **settings)
    return made
