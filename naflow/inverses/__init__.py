"""The registry of inverse rules: the first rule that matches a unit inverts it."""

from __future__ import annotations

from collections.abc import Sequence

from naflow.errors import UnsupportedModel
from naflow.inverses.activation import Identity, Leaky, Rearrangement, Rectifier, Smooth
from naflow.inverses.affine import Affine, Conv, least_squares
from naflow.inverses.anchored import Anchored, under
from naflow.inverses.inverse import ForwardUnit, Inverse, closed_form
from naflow.inverses.normalization import BatchNorm
from naflow.inverses.pooling import MaxPool
from naflow.run.cut import Unit

#: In order; put a rule of your own first, or give it as NAFlow(model, rules=[...]).
RULES: list[Inverse] = [
    Conv(),
    BatchNorm(),
    Rectifier(),
    Leaky(),
    Smooth(),
    MaxPool(),
    Identity(),
    Rearrangement(),
    Affine(),
]


def rule_for(unit: Unit, rules: Sequence[Inverse] = ()) -> Inverse:
    """Return the first rule that matches a unit: among the user's `rules`, then among RULES.

    Raises UnsupportedModel, naming the layer, if none matches.
    """
    for rule in (*rules, *RULES):
        if rule.matches(unit):
            return rule
    raise UnsupportedModel(
        f"Layer '{unit.name}' ({unit.kind}) uses batch statistics (no running mean), so an image's "
        "activations depend on the other images and have no inverse of their own. Train it with "
        "track_running_stats=True."
    )


__all__ = [
    "RULES",
    "Affine",
    "Anchored",
    "BatchNorm",
    "Conv",
    "ForwardUnit",
    "Identity",
    "Inverse",
    "Leaky",
    "MaxPool",
    "Rearrangement",
    "Rectifier",
    "Smooth",
    "closed_form",
    "least_squares",
    "rule_for",
    "under",
]
