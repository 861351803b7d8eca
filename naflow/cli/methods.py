"""The methods of the command line: those that need nothing but a model and a score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from naflow.errors import BadInput
from naflow.methods import METHODS, method

if TYPE_CHECKING:  # the parser tells the names without torch
    from torch import nn

    from naflow.cascade import Progress
    from naflow.explainer import Explainer

NAMES = [name for name, known in METHODS.items() if known.command]
_SLOW = ("naflow.NAFlow", "naflow.explainers.CFCAM")  # those that tell their progress


def explainers(
    names: Sequence[str], network: nn.Module, preset: str | None, progress: Progress | None = None
) -> dict[str, Explainer]:
    """An explainer for each name, each name once.

    preset    of the method naflow, by default "selective"
    progress  called as progress(layer, done, total) by the methods that take their time

    Raises BadInput for an unknown name or preset, with the near ones, and for a preset that no
    method takes.
    """
    found = {name: method(name, NAMES) for name in names}
    if preset is not None and "naflow" not in names:
        raise BadInput(f"--preset {preset} is for the method naflow, which was not asked for.")
    made: dict[str, Explainer] = {}
    for name, known in found.items():
        settings: dict[str, Any] = {"progress": progress} if known.target in _SLOW else {}
        if name == "naflow" and preset is not None:
            settings["preset"] = preset
        made[name] = known(network, **settings)
    return made
