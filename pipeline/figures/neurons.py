"""Which neurons of a small network a decision uses, and how often.

Our reading of the paper's Fig. 3: a neuron is used when its importance coefficient is not exactly
0, and abandoned otherwise. It counts once as a neuron. Its neuron-times are its uses: the
connections, entries of the next unit's Jacobian that are not 0, to used neurons of the next layer,
so that a neuron in three overlapping windows counts three times.
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
    """One layer of n neurons before one of m, flattened in (C, H, W) order.

    used         boolean (n,)
    connections  boolean (m, n): the entries of the Jacobian of what lies between that are not 0
    uses         boolean (m, n): those connections whose ends are both used
    """

    name: str
    used: Tensor
    connections: Tensor
    uses: Tensor

    @property
    def counts(self) -> dict[str, int]:
        """How many neurons there are, how many are used, and their neuron-times."""
        return {
            "neurons": len(self.used),
            "used": int(self.used.sum()),
            "times": int(self.uses.sum()),
        }


def layer_uses(record: Record) -> list[LayerUse]:
    """The uses of every layer of the first image, the input first; the record is used up. After the
    last layer comes the score, a single neuron that is used, whose Jacobian is the importance.

    Jacobians are formed, one product a neuron: for small networks. Raises ValueError for large ones
    (LinearOperator.as_matrix).
    """
    return uses_of(list(record.descend())[::-1])


def uses_of(layers: list[Layer]) -> list[LayerUse]:
    """The same of layers, the images first."""
    jacobians = [
        UnitJacobian(above.unit, layer.activation).as_matrix()[0]
        for layer, above in pairwise(layers)
        if above.unit is not None
    ]
    importance = [layer.importance[0].flatten() for layer in layers]
    used = [alpha != 0 for alpha in importance]
    above = [*used[1:], torch.ones_like(used[-1][:1])]
    found = []
    for layer, ends, tips, jacobian in zip(
        layers, used, above, [*jacobians, importance[-1][None]], strict=True
    ):
        connections = jacobian != 0
        found.append(LayerUse(layer.name, ends, connections, connections & tips[:, None] & ends))
    return found
