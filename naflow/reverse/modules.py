"""The layers of an encoder-decoder: every module that returns a feature map.

Where skips lead round everything, few values carry all data. Here a layer is what a module returns,
and the importance of all of them is found at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from naflow.errors import UnsupportedModel
from naflow.reverse.descent import Layer, checked, gradients
from naflow.reverse.record import Record, check_score
from naflow.run.cut import Chain, is_map, known_layer, trace_axes, upstream, value_names
from naflow.run.operation import Value
from naflow.run.run import Run, mapped
from naflow.run.tape import keep_only
from naflow.scores import Score, predicted


@dataclass
class ModuleRecord(Record):
    """One explained run, by its modules: points name -> value, shallow to deep.

    A value that several modules return is named after the outermost that is no bare nn.Sequential;
    a module that runs again gets a suffix, as in "relu#2". Modules whose output the score does not
    use are left out.
    """

    points: dict[str, Value]

    @classmethod
    def of(cls, ran: Run, value: Tensor, question: Score, last: str | None) -> ModuleRecord:
        """The record of a run whose score has the value (B,). Raises as naflow.reverse.record
        does."""
        check_score(value, ran)
        needed = upstream(ran, ran.behind(value))
        trace_axes(ran, needed)
        names = value_names(ran, needed)
        points = {name: v for v, name in names.items() if v.modules and is_map(v, ran)}
        if not points:
            raise UnsupportedModel(
                f"No module of {type(ran.model).__name__} returns a feature map (B, C, H, W): "
                "there is nothing to draw."
            )
        if last is not None:
            known_layer(last, points)
            names_up_to = list(points)[: list(points).index(last) + 1]
            points = {name: points[name] for name in names_up_to}
        keep_only(ran.values, [ran.images, *points.values()])
        found = cls(
            chain=Chain(ran, []),
            score=value.detach(),
            output=mapped(ran.output, torch.Tensor.detach),
            prediction=predicted(ran.output, question),
            question=question,
            opened=[],
            _explained=value,
            _rule=None,
            points=points,
        )
        found.check_score()
        return found

    @property
    def layers(self) -> list[str]:
        return list(self.points)

    def _values(self) -> dict[str, Value]:
        return self.points

    def descend(self) -> Iterator[Layer]:
        """The modules' maps, as if they were all inside one block."""
        value = self._take()
        found = gradients(value, self.points.values(), torch.ones_like(value))
        inside = [
            Layer(name, point.tensor(), checked(name, g))
            for (name, point), g in zip(self.points.items(), found, strict=True)
        ]
        images = self.images
        yield Layer("input", images, torch.zeros_like(images), unit=None, inside=inside)
