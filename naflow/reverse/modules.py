"""The layers of an encoder-decoder: every module that returns a feature map.

Skip connections leave few values that every path passes through. So here a layer is what a module
returns, and the importance of all layers is computed at once.
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
    """One explained run, the modules' outputs as layers; points: name -> value, shallow to deep.

    A value that several modules return is named after the outermost that is no bare nn.Sequential;
    a module that runs again gets a suffix, as in "relu#2". Modules whose output the score does not
    use are left out.
    """

    points: dict[str, Value]

    @classmethod
    def of(cls, ran: Run, value: Tensor, question: Score, last: str | None) -> ModuleRecord:
        """Return the record of a run with score `value` (B,). Raises as naflow.reverse.record
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
        record = cls(
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
        record.check_score()
        return record

    @property
    def layers(self) -> list[str]:
        return list(self.points)

    def _values(self) -> dict[str, Value]:
        return self.points

    def descend(self) -> Iterator[Layer]:
        """Yield the modules' maps, as if they were all inside one block."""
        value = self._take()
        importance = gradients(value, self.points.values(), torch.ones_like(value))
        inside = [
            Layer(name, point.tensor(), checked(name, alpha))
            for (name, point), alpha in zip(self.points.items(), importance, strict=True)
        ]
        images = self.images
        yield Layer("input", images, torch.zeros_like(images), unit=None, inside=inside)
