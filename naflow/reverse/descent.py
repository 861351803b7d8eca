"""The cascade of Jacobians: one reverse pass from the score down to the images, layer by layer.

alpha^{l-1} = (df_l/dx^{l-1})^T alpha^l from alpha^L = dS/dx^L (Eqs 15, 16), through the autograd
graph of the model's own run.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from naflow.errors import BadInput, NotFinite, UnsupportedModel
from naflow.finite import not_finite
from naflow.reverse.abandon import Left, Rule
from naflow.run.cut import Chain, Unit
from naflow.run.operation import Value


@dataclass
class Layer:
    """A cut point, as the reverse pass reaches it.

    activation, importance  x^l and alpha^l, (B, ...), detached; alpha^l after abandoning
    feature_map             whether they are (B, C, *size)
    left                    what the rule of abandoning returned; None if there is no rule
    unit                    f_l, which computes it from the layer below; None for the images
    inside                  the feature maps on the branches of the unit above it, shallow to deep
    """

    name: str
    activation: Tensor
    importance: Tensor
    feature_map: bool = True
    left: Left | None = None
    unit: Unit | None = None
    inside: list[Layer] = field(default_factory=list)

    @property
    def maps(self) -> list[Layer]:
        """The feature maps that are reached here, deep to shallow."""
        return [*reversed(self.inside), *([self] if self.feature_map and self.unit else [])]


def descend(
    score: Tensor, chain: Chain, rule: Rule | None = None, opened: Collection[str] = ()
) -> Iterator[Layer]:
    """Yield the layers of a chain with their importance, from the last down to the images.

    Activations that the pass has left behind are freed.

    score   (B,), with its graph
    rule    changes every feature map's importance before it is propagated further down
    opened  names of the units whose inner feature maps are wanted

    Raises NotFinite, naming layer and images, if an importance is NaN or infinite; BadInput if the
    score's gradient is zero everywhere at the last layer.
    """
    links = [(chain.run.images, None), *((unit.result, unit) for unit in chain.units)]
    above: Tensor | Value = score
    weight, reader = torch.ones_like(score), None
    while links:
        value, unit = links.pop()
        within = reader.inner if reader is not None and reader.name in opened else {}
        retain = reader is not None and reader.opaque  # an inverse may differentiate it again
        alpha, *inner = gradients(above, [value, *within.values()], weight, retain)
        name = unit.name if unit else "input"
        checked(name, alpha)
        x = value.tensor()
        if reader is None:
            _check_used(name, alpha)
        left, is_map = None, unit is not None and unit.feature_map
        if rule is not None and is_map:
            left = rule(alpha, x, reader is None)
            alpha = left.importance
        inside = [
            Layer(key, v.tensor(), checked(key, g))
            for (key, v), g in zip(within.items(), inner, strict=True)
        ]
        yield Layer(name, x, alpha, is_map, left, unit, inside)
        for passed in (*within.values(), above):
            if isinstance(passed, Value):
                passed.release()
        above, weight, reader = value, alpha, unit


def gradients(
    of: Tensor | Value, values: Iterable[Value], weight: Tensor, retain: bool = False
) -> list[Tensor]:
    """Return weight^T (d of / d value) for every value, 0 if there is no path.

    Raises UnsupportedModel if the model overwrote in place what its gradient needs.
    """
    values = list(values)
    if isinstance(of, Value):
        of.begins = True
    try:
        grads = torch.autograd.grad(
            of.edge if isinstance(of, Value) else of,
            [value.edge for value in values],
            [weight],
            retain_graph=retain,
            allow_unused=True,
        )
    except RuntimeError as error:
        if "modified by an inplace operation" not in str(error):
            raise
        raise UnsupportedModel(
            "The model overwrites in place what its own gradient needs, so PyTorch cannot "
            "differentiate it: make that operation out of place, as in inplace=False."
        ) from error
    finally:
        if isinstance(of, Value):
            of.begins = False
    return [
        torch.zeros(v.shape, dtype=v.dtype, device=v.device) if g is None else _plain(g)
        for v, g in zip(values, grads, strict=True)
    ]


def _plain(gradient: Tensor) -> Tensor:
    """Detach a gradient and make it contiguous: with other strides, the backward of PyTorch's batch
    norm on a CPU (2.15) is wrong."""
    return gradient.detach().contiguous()


def checked(layer: str, importance: Tensor) -> Tensor:
    """Return the importance. Raises NotFinite if it is not finite."""
    if wrong := not_finite(importance):
        raise NotFinite(f"The gradient at layer '{layer}' is NaN or infinite for images {wrong}.")
    return importance


def _check_used(layer: str, importance: Tensor) -> None:
    unused = (importance == 0).flatten(1).all(1).nonzero()[:, 0].tolist()
    if unused:
        raise BadInput(
            f"The score of images {unused} has zero gradient everywhere at '{layer}', the last "
            "feature map: no neuron was used, so there is nothing to draw. Explain another score."
        )
