"""The cascade of Jacobians: the importance of every layer, by one reverse pass."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from naflow.abandon import Rule
from naflow.errors import NotFinite
from naflow.finite import not_finite


class Importance(dict[str, Tensor]):
    """alpha^{l-1} = (df_l/dx^{l-1})^T alpha^l from alpha^L = dS/dx^L, by the name of the layer.

    The reverse pass goes down to a layer when that is asked for, and what it has passed is freed:
    who walks down and deletes what is done with never holds the whole of it.

    score  (B,), with its graph
    links  the layers of each link, shallow to deep: x^{l-1} first, by name, then the maps inside
           the unit that reads it; a link depends on the images through the first of the next alone
    rules  what the importance of a link's first layer becomes before it goes on down, by name

    Asking raises NotFinite, naming layer and images, where an importance on the way is NaN or
    infinite, and KeyError for a layer that is in no link or was deleted.
    """

    def __init__(
        self, score: Tensor, links: list[dict[str, Tensor]], rules: dict[str, Rule]
    ) -> None:
        super().__init__()
        self._links, self._rules = list(links), rules
        self._above, self._weight = score, torch.ones_like(score)

    def __missing__(self, name: str) -> Tensor:
        if not any(name in link for link in self._links):
            raise KeyError(name)
        while name not in self:
            self._go_down()
        return self[name]

    def _go_down(self) -> None:
        link = self._links.pop()
        found = _gradients(self._above, link, self._weight)
        first, x = next(iter(link.items()))
        if first in self._rules:
            found[first] = self._rules[first](found[first], x.detach())
        self._above, self._weight = x, found[first]
        self |= _finite(found)


def importance_at_once(
    score: Tensor, points: dict[str, Tensor], rules: dict[str, Rule]
) -> dict[str, Tensor]:
    """The same of layers that need not follow each other: paths may lead round them.

    points: name -> activation, the images among them; no rule for those.
    """
    left: dict[str, Tensor] = {}

    def leave(name: str, importance: Tensor) -> Tensor:
        left[name] = rules[name](importance, points[name].detach())
        return left[name]

    hooks = [
        points[name].register_hook(partial(leave, name))
        for name in rules
        if points[name].requires_grad
    ]
    found = _gradients(score, points, torch.ones_like(score))
    for hook in hooks:
        hook.remove()
    for name in rules.keys() - left.keys():  # no path leads there
        leave(name, found[name])
    return _finite(found | left)


def _gradients(of: Tensor, points: dict[str, Tensor], weight: Tensor) -> dict[str, Tensor]:
    """weight^T (d of / d point) by name, 0 where there is no path."""
    reached = [name for name, x in points.items() if of.requires_grad and x.requires_grad]
    inputs = [points[name] for name in reached]
    gradients = torch.autograd.grad(of, inputs, weight, allow_unused=True) if inputs else ()
    found = dict(zip(reached, gradients, strict=True))
    return {
        name: torch.zeros_like(x) if found.get(name) is None else found[name]
        for name, x in points.items()
    }


def _finite(importance: dict[str, Tensor]) -> dict[str, Tensor]:
    for name, alpha in importance.items():
        if wrong := not_finite(alpha):
            raise NotFinite(
                f"The gradient at layer '{name}' is NaN or infinite for images {wrong}."
            )
    return importance
