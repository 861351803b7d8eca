"""The methods of the command line: those that need only a model and a score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from naflow.errors import BadInput
from naflow.methods import METHODS, method

if TYPE_CHECKING:  # the parser lists the names without importing torch
    from torch import nn

    from naflow.cascade import Progress
    from naflow.explainer import Explainer

NAMES = [name for name, known in METHODS.items() if known.command]
_SLOW = ("naflow.NAFlow", "naflow.explainers.CFCAM")  # those that report their progress


def explainers(
    names: Sequence[str], network: nn.Module, preset: str | None, progress: Progress | None = None
) -> dict[str, Explainer]:
    """Return an explainer for each name, without repetitions.

    preset    of the method naflow, by default "selective"
    progress  called as progress(layer, done, total) by slow methods

    Raises BadInput for an unknown name or preset, with similar ones, and for a preset without the
    method naflow.
    """
    methods = {name: method(name, NAMES) for name in names}
    if preset is not None and "naflow" not in names:
        raise BadInput(f"--preset {preset} is for the method naflow, which --method does not name.")
    made: dict[str, Explainer] = {}
    for name, known in methods.items():
        settings: dict[str, Any] = {"progress": progress} if known.target in _SLOW else {}
        if name == "naflow" and preset is not None:
            settings["preset"] = preset
        made[name] = known(network, **settings)
    return made
