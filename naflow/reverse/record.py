"""What a method explains: one run of the model, cut into layers, and its reverse pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from naflow.errors import BadInput, NotFinite
from naflow.finite import not_finite
from naflow.reverse.abandon import Rule
from naflow.reverse.descent import Layer, descend
from naflow.run.attention import refuse_transformer
from naflow.run.cut import Chain, cut, known_layer
from naflow.run.operation import Value
from naflow.run.run import Inputs, Run, mapped, run
from naflow.scores import Score, predicted


@dataclass
class Record:
    """One explained run, up to the last feature map.

    chain       the units up to there; the values at their cut points are kept
    score       (B,) the value of `question`
    output      the model's output, detached
    prediction  the predicted class, see naflow.scores.predicted
    question    the score that the user gave
    opened      names of the units whose inner feature maps are layers, too
    """

    chain: Chain
    score: Tensor
    output: Any
    prediction: Tensor | None
    question: Score
    opened: list[str]
    _explained: Tensor | None
    _rule: Rule | None

    @property
    def layers(self) -> list[str]:
        """Names of the feature maps, shallow to deep; those inside a block come before its own."""
        return list(self.chain.layers(self.opened))

    @property
    def images(self) -> Tensor:
        """The images, (B, C, ...)."""
        return self.chain.run.images.tensor()

    def check(self, layers: Iterable[str]) -> None:
        """Raise BadInput, with similar names, for an unknown layer."""
        for layer in layers:
            known_layer(layer, self.layers)

    def check_finite(self, layer: str, evidence: Tensor) -> None:
        """Raise NotFinite if the map of a layer, `evidence` (B, ...), is not finite, naming the
        layer where that began. A map is a sum, so a bad value in any term shows in it."""
        if wrong := not_finite(evidence):
            self.blame()
            raise NotFinite(f"The map of layer '{layer}' is NaN or infinite for images {wrong}.")

    def check_score(self) -> None:
        """Raise NotFinite if the score is not finite, naming the layer where that began."""
        if wrong := not_finite(self.score):
            self.blame()
            raise NotFinite(f"The score is NaN or infinite for images {wrong}.")

    def blame(self) -> None:
        """Raise NotFinite, naming the shallowest layer whose activation is not finite, if there is
        one among those that the reverse pass has not freed."""
        for name, value in self._values().items():
            if not value.released and (wrong := not_finite(value.tensor())):
                raise NotFinite(
                    f"The activation of layer '{name}' is NaN or infinite for images {wrong}."
                )

    def _values(self) -> dict[str, Value]:
        values = {}
        for unit in self.chain.units:
            if unit.name in self.opened:
                values |= unit.inner
            values[unit.name] = unit.result
        return values

    def descend(self) -> Iterator[Layer]:
        """Yield the layers with their importance, from the last down to the images. This frees the
        activations on the way, so it works once; raises BadInput the second time."""
        return descend(self._take(), self.chain, self._rule, self.opened)

    def _take(self) -> Tensor:
        explained, self._explained = self._explained, None
        if explained is None:
            raise BadInput("This record was used up by a flow: record the run again.")
        return explained

    def at(self, layer: str) -> Layer:
        """Return one layer by its name. This consumes the record, as `descend` does."""
        self.check([layer])
        return next(m for point in self.descend() for m in point.maps if m.name == layer)


def record(
    model: nn.Module,
    images: Tensor,
    score: Score,
    *,
    inputs: Inputs = (),
    last: str | None = None,
    detail: bool | Iterable[str] = False,
    question: Score | None = None,
    abandon: Rule | None = None,
) -> Record:
    """Run the model once and cut the run into layers. Call it inside `preserved(model)`.

    inputs    what the model takes besides the images
    last      the deepest layer; by default the last feature map of more than one pixel
    detail    the blocks whose inner feature maps are layers, too: True for all, or their names
    question  the user's score, if `score` is a version of it with another gradient
    abandon   changes every feature map's importance before it is propagated further down, see
              naflow.reverse.abandon

    Raises BadInput for a score that is not (B,), UnsupportedModel if no gradient leads from the
    score to the images or there is no feature map, NotFinite if an activation is NaN or infinite.
    """
    ran = run(model, images, inputs)
    with torch.inference_mode(False), torch.enable_grad():
        value = score(ran.output)
    return explained_run(ran, value, question or score, last, detail, abandon)


def explained_run(
    ran: Run,
    value: Tensor,
    question: Score,
    last: str | None = None,
    detail: bool | Iterable[str] = False,
    abandon: Rule | None = None,
) -> Record:
    """Return the record of a run with score `value` (B,); other arguments as in `record`."""
    check_score(value, ran)
    whole = cut(ran, ran.behind(value))
    refuse_transformer(whole)
    chain = whole.up_to(last)
    opened = chain.opened(detail)
    chain.keep(opened)
    result = Record(
        chain=chain,
        score=value.detach(),
        output=mapped(ran.output, torch.Tensor.detach),
        prediction=predicted(ran.output, question),
        question=question,
        opened=opened,
        _explained=value,
        _rule=abandon,
    )
    result.check_score()
    return result


def check_score(value: object, ran: Run) -> None:
    """Raise BadInput or UnsupportedModel unless the score is one number per image that depends on
    the images."""
    batch = ran.images.shape[0]
    if not isinstance(value, Tensor) or value.shape != (batch,):
        shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise BadInput(
            f"The score has shape {shape}: it must give one number an image, ({batch},)."
        )
    if value.is_complex():
        raise BadInput(
            f"The score is complex ({value.dtype}): it must give one real number an image, as "
            "score(output).real or .abs() does."
        )
    if not value.requires_grad or not ran.behind(value):
        ran.ends()  # raises where no gradient leads from the output itself
        raise BadInput(
            "The score does not depend on the images: compute it from the model's output, without "
            "detaching it."
        )
