"""The one call that every method answers: (images, score) -> Flow."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from naflow.errors import BadInput, near_names
from naflow.flow import Flow
from naflow.reverse.abandon import Rule
from naflow.reverse.record import Record, record
from naflow.run.preserve import preserved
from naflow.run.run import Inputs
from naflow.scores import Score, asked

_KEEP = ("bpfm", "importance")


def check_keep(keep: Sequence[str]) -> None:
    """Raise BadInput, with similar names, for a name that `keep` does not know."""
    for name in keep:
        if name not in _KEEP:
            raise BadInput(f"keep={name!r} is not known.{near_names(name, _KEEP)}")


def check_progress(progress: object) -> None:
    """Raise BadInput for a progress that cannot be called."""
    if progress is not None and not callable(progress):
        raise BadInput(f"progress={progress!r}: it is called, as progress(layer, done, total).")


def settings(kind: type) -> list[str]:
    """What a class of explainers can be made with, besides the model."""
    made = [vars(base)["__init__"] for base in kind.__mro__[:-1] if "__init__" in vars(base)]
    parameters = [one for init in made for one in signature(init).parameters.values()]
    return [one.name for one in parameters if one.kind is one.KEYWORD_ONLY]


def _names(setting: str, given: Iterable[str]) -> list[str]:
    """Return the names that a setting lists. Raises BadInput for a single string, which would be
    read letter by letter, and for anything else that is no list."""
    if isinstance(given, str) or not isinstance(given, Iterable):
        one = given if isinstance(given, str) else "layer4"
        raise BadInput(f"{setting}={given!r} is no list of names: give {setting}=[{one!r}].")
    return list(given)


class Explainer(ABC):
    """A method that draws one attention map for every layer of a model.

    model  any CNN that runs, in any mode, on any device; it is left exactly as it was
    last   the deepest layer of the flow; by default the last feature map of more than one pixel

    Raises BadInput if model is no nn.Module, or for an unknown setting.
    """

    #: Changes a layer's importance before it is propagated further down; None: it is the gradient.
    abandon: Rule | None = None

    def __init__(self, model: nn.Module, *, last: str | None = None, **unknown: Any) -> None:
        if not isinstance(model, nn.Module):
            raise BadInput(f"model is a {type(model).__name__}: give a torch.nn.Module.")
        for name in unknown:
            near = near_names(name, settings(type(self)))
            raise BadInput(f"{type(self).__name__} has no setting {name!r}.{near}")
        if not isinstance(last, (str, type(None))):
            raise BadInput(f"last={last!r}: it is the name of a layer, as in last='layer4'.")
        self.model = model
        self.last = last

    @property
    def name(self) -> str:
        """The method's name in figures and tables."""
        return type(self).__name__

    def __call__(
        self,
        images: Tensor,
        score: Score | None = None,
        *,
        inputs: Inputs = (),
        layers: Sequence[str] | None = None,
        detail: bool | Sequence[str] = False,
        keep: Sequence[str] = (),
    ) -> Flow:
        """Explain a batch of images (B, C, H, W), or signals (B, C, L), or volumes (B, C, D, H, W).

        score   what is explained, see naflow.scores; by default the predicted class's logit
        inputs  what the model takes besides the images: further positional arguments, or a dict of
                keyword arguments. Only the images, its first argument, are explained
        layers  names of the layers to draw; None: all of them; []: none
        detail  draw the feature maps inside blocks as well: True for all blocks, or their names
        keep    tensors to return besides the maps: "bpfm", "importance"

        The model runs once, in evaluation mode and full precision, whatever modes are active
        outside; this run is explained. Raises BadInput for images, a score or names that cannot be
        used, UnsupportedModel for a model without feature maps or gradients, NotFinite if a NaN or
        infinity appears.
        """
        keep = _names("keep", keep)
        check_keep(keep)
        layers = None if layers is None else _names("layers", layers)
        detail = detail if isinstance(detail, bool) else _names("detail", detail)
        with torch.inference_mode(False), preserved(self.model):
            recorded = self.recorded(images, score, inputs, detail)
            self.check_layers(recorded, layers)
            return self.explain(recorded, layers, keep)

    def recorded(
        self, images: Tensor, score: Score | None, inputs: Inputs, detail: bool | Sequence[str]
    ) -> Record:
        """Run the model and record it. A method may override this to propagate something other than
        the gradient."""
        return record(
            self.model,
            images,
            asked(score),
            inputs=inputs,
            last=self.last,
            detail=detail,
            abandon=self.abandon,
        )

    def check_layers(self, record: Record, layers: Sequence[str] | None) -> None:
        """Raise BadInput, with similar names, for a layer that the flow will not have."""
        record.check(layers or ())

    @abstractmethod
    def explain(self, record: Record, layers: Sequence[str] | None, keep: Sequence[str]) -> Flow:
        """Return the flow of a recorded run. The record may be consumed. The model is in evaluation
        mode."""
