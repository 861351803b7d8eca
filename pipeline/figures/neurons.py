"""Count which neurons of a small network a decision uses, and how often.

Our reading of the paper's Fig. 3: a neuron is used if its importance coefficient is not exactly 0,
otherwise it is abandoned. Its neuron-times are its connections to used neurons of the next layer. A
connection is an entry of the next unit's Jacobian that is not 0, so a neuron in three overlapping
windows counts three times.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from naflow.inverses.jacobian import UnitJacobian
from naflow.reverse.descent import Layer
from naflow.reverse.record import Record


@dataclass(frozen=True)
class LayerUse:
    """One layer of n neurons before one of m neurons, both flattened in (C, H, W) order.

    used         boolean (n,)
    connections  boolean (m, n): entries of the Jacobian between the two layers that are not 0
    uses         boolean (m, n): the connections whose ends are both used
    """

    name: str
    used: Tensor
    connections: Tensor
    uses: Tensor

    @property
    def counts(self) -> dict[str, int]:
        """The numbers of neurons, of used neurons, and of neuron-times."""
        return {
            "neurons": len(self.used),
            "used": int(self.used.sum()),
            "times": int(self.uses.sum()),
        }


def layer_uses(record: Record) -> list[LayerUse]:
    """Return the uses of every layer for the first image, the input first. The score counts as one
    used neuron after the last layer, with the importance as its Jacobian. The record is consumed.

    Jacobians are formed, with one product per neuron, so this is for small networks. Raises
    ValueError for large ones (LinearOperator.as_matrix).
    """
    return uses_of(list(record.descend())[::-1])


def uses_of(layers: list[Layer]) -> list[LayerUse]:
    """Return the same from a list of layers, the images first."""
    jacobians = [
        UnitJacobian(above.unit, layer.activation).as_matrix()[0]
        for layer, above in pairwise(layers)
        if above.unit is not None
    ]
    importance = [layer.importance[0].flatten() for layer in layers]
    used = [alpha != 0 for alpha in importance]
    above = [*used[1:], torch.ones_like(used[-1][:1])]
    uses = []
    for layer, ends, tips, jacobian in zip(
        layers, used, above, [*jacobians, importance[-1][None]], strict=True
    ):
        connections = jacobian != 0
        uses.append(LayerUse(layer.name, ends, connections, connections & tips[:, None] & ends))
    return uses
