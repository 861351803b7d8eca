"""One forward and one reverse pass: activations and importance coefficients at every cut point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from naflow.abandon import Rule
from naflow.chain import Chain
from naflow.errors import BadInput, NotFinite, UnsupportedModel, near_names
from naflow.finite import not_finite
from naflow.importance import Importance, importance_at_once
from naflow.scores import ChannelContribution, Score, Similarity
from naflow.units import Unit


@dataclass(frozen=True)
class Record:
    """The forward pass up to the last feature map, cut point by cut point.

    names[0] is "input" and activations[0] the images; names[l] is the output of units[l - 1].
    Activations are (B, C, H, W) (any shape for a unit that is no feature map), detached, on the
    model's device. importance[name] = dS/dx^l (Eqs 15, 16), or what a rule of abandoning has left
    of it, has the same shape, for every cut point and for the feature maps inside a block, whose
    activations inner holds: unit -> name -> activation. score is what question, the score that was
    asked for, gives for the output.
    """

    names: list[str]
    units: list[Unit]
    activations: list[Tensor]
    importance: dict[str, Tensor]
    output: Any
    prediction: Tensor | None
    score: Tensor
    question: Score
    inner: dict[str, dict[str, Tensor]] = field(default_factory=dict)

    @property
    def layers(self) -> list[str]:
        """The feature maps, (B, C, H, W), shallow to deep, those inside a block before its own."""
        found: list[str] = []
        for unit, x in zip(self.units, self.activations[1:], strict=True):
            found += self.inner.get(unit.name, {})
            if _is_map(unit, x):
                found.append(unit.name)
        return found

    def at(self, layer: str) -> tuple[Tensor, Tensor]:
        """A layer's activation and importance.

        Raises BadInput with the near names if it is unknown, and where a flow has used it up;
        NotFinite where an importance from here up is NaN or infinite.
        """
        self.check(layer)
        try:
            importance = self.importance[layer]
        except KeyError:
            raise BadInput(
                f"The importance of layer '{layer}' was let go when a flow was made of this record."
                " Record the pass again."
            ) from None
        for maps in self.inner.values():
            if layer in maps:
                return maps[layer], importance
        return self.activations[self.names.index(layer)], importance

    def check(self, layer: str) -> None:
        """Raise BadInput, with the near names, for a layer that there is not."""
        if layer not in self.layers:
            raise BadInput(f"There is no layer '{layer}'.{near_names(layer, self.layers)}")

    def forget(self, layer: str) -> None:
        """Free what was kept of a cut point and of its unit's inside: it is asked for no more."""
        self.activations[self.names.index(layer)] = torch.empty(0)
        for name in [layer, *self.inner.pop(layer, {})]:
            del self.importance[name]


def record(
    chain: Chain,
    images: Tensor,
    score: Score,
    last: str | None = None,
    detail: bool | Sequence[str] = False,
    question: Score | None = None,
    abandon: Rule | None = None,
) -> Record:
    """Run the model once and differentiate the score once: the cascade of Jacobians
    alpha^{l-1} = (df_l/dx^{l-1})^T alpha^l for all layers is one reverse pass.

    last: the deepest layer of the flow; by default the last feature map of more than one pixel.
    detail: the blocks to look into. question: what is asked, where `score` is that with a gradient
    of its own; by default the score. abandon: what every feature map's importance becomes before it
    goes on down, see naflow.abandon; an image of which nothing is left then has importance 0
    everywhere. Call it inside `preserved(model)`.

    Raises BadInput for a score that is not (B,) or does not depend on the images or on the last
    feature map; NotFinite, naming layer and images, where an activation is NaN or infinite. Of
    gradients that is said when they are asked for.
    """
    with torch.enable_grad():
        images = images.detach().requires_grad_()
        activations, inner, output = chain.forward(images, chain.opened(detail))
        value = score(output)
    _check_score(value, len(images))
    end = last_map(chain.units, activations, last)
    units, names = chain.units[:end], ["input", *(unit.name for unit in chain.units[:end])]
    points = dict(zip(names, [images, *activations[:end]], strict=True))
    inner = {name: inner[name] for name in names if name in inner}
    within = [inner.get(unit.name, {}) for unit in units]
    for name, x in [*points.items(), *(item for maps in within for item in maps.items())]:
        _check_finite(x, f"The activation of layer '{name}'")
    _check_finite(value, "The score")
    if not value.requires_grad:
        raise BadInput("The score does not depend on the images: nothing to explain.")
    rules = {unit.name: abandon for unit in units if abandon and _is_map(unit, points[unit.name])}
    rules[names[-1]] = partial(_used, names[-1], rules.get(names[-1]))
    if chain.in_line:
        links = [
            {name: points[name]} | maps for name, maps in zip(names, [*within, {}], strict=True)
        ]
        importance = Importance(value, links, rules)
    else:
        importance = importance_at_once(value, points, rules)
    importance[names[-1]]  # say it now if the score used nothing
    return Record(
        names=names,
        units=units,
        activations=[points[name].detach() for name in names],
        importance=importance,
        output=tree_map(lambda v: v.detach() if isinstance(v, Tensor) else v, output),
        prediction=_prediction(output, question or score),
        score=value.detach(),
        question=question or score,
        inner={
            unit: {name: x.detach() for name, x in maps.items()} for unit, maps in inner.items()
        },
    )


def _is_map(unit: Unit, x: Tensor) -> bool:
    return unit.feature_map and x.ndim == 4


def last_map(units: list[Unit], activations: list[Tensor], last: str | None = None) -> int:
    """The number of units up to `last`, or up to the last feature map of more than one pixel.

    Raises BadInput for an unknown layer, UnsupportedModel where there is no feature map.
    """
    maps = {
        unit.name: i
        for i, (unit, x) in enumerate(zip(units, activations, strict=False), 1)
        if _is_map(unit, x)
    }
    if last is not None:
        if last not in maps:
            raise BadInput(f"There is no layer '{last}'.{near_names(last, maps)}")
        return maps[last]
    if not maps:
        raise UnsupportedModel(
            "No layer of the model gives a feature map (B, C, H, W) through which all data flow: "
            "there is nothing to draw. NAFlow explains convolutional networks."
        )
    wide = [i for i in maps.values() if activations[i - 1][0, 0].numel() > 1]
    return (wide or list(maps.values()))[-1]


def _check_score(value: object, batch: int) -> None:
    if not isinstance(value, Tensor) or value.shape != (batch,):
        shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise BadInput(
            f"The score has shape {shape}: it must give one number an image, ({batch},)."
        )


def _check_finite(x: Tensor, what: str) -> None:
    if wrong := not_finite(x):
        raise NotFinite(f"{what} is NaN or infinite for images {wrong}.")


def _used(layer: str, rule: Rule | None, importance: Tensor, activation: Tensor) -> Tensor:
    """What the rule leaves at the last feature map, of which the score must have used something."""
    unused = (importance == 0).flatten(1).all(1).nonzero()[:, 0].tolist()
    if unused:
        raise BadInput(
            f"The score of images {unused} has zero gradient everywhere at '{layer}', the last "
            "feature map: no neuron was used, so there is nothing to draw. Explain another score."
        )
    return rule(importance, activation) if rule else importance


def _prediction(output: Any, score: Score) -> Tensor | None:
    """The class of the largest logit: (B,) for logits (B, K), (B, H, W) for a segmentation; None
    for an embedding, whose channels are no classes."""
    if isinstance(score, (ChannelContribution, Similarity)):
        return None
    if isinstance(output, dict):
        output = output.get("out")
    if isinstance(output, Tensor) and output.ndim in (2, 4) and output.shape[1] > 1:
        return output.detach().argmax(1)
    return None
