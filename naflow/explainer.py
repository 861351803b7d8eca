"""The one call that every method answers: (images, score) -> Flow."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn

from naflow.abandon import Rule
from naflow.chain import ChainCache
from naflow.errors import BadInput, near_names
from naflow.flow import Flow
from naflow.preserve import preserved
from naflow.record import Record, record
from naflow.scores import ClassLogit, Score

_KEEP = ("bpfm", "importance")


def check_keep(keep: Sequence[str]) -> None:
    """Raise BadInput, with the near names, for a tensor that no flow keeps."""
    for name in keep:
        if name not in _KEEP:
            raise BadInput(f"keep={name!r} is not known.{near_names(name, _KEEP)}")


class Explainer(ABC):
    """A method that draws one attention map for every layer of a model.

    model   any CNN, in any mode, on any device; left exactly as it was
    units   names of modules that follow each other, for a model torch.fx cannot trace; else found
    last    the deepest layer of the flow; by default the last feature map of more than one pixel

    Raises BadInput where model is no nn.Module.
    """

    #: What a layer's importance becomes before it goes on down; None: it stays the gradient.
    abandon: Rule | None = None

    def __init__(
        self, model: nn.Module, *, units: Sequence[str] | None = None, last: str | None = None
    ) -> None:
        if not isinstance(model, nn.Module):
            raise BadInput(f"model is a {type(model).__name__}: give a torch.nn.Module.")
        self.model = model
        self.last = last
        self._chains = ChainCache(model, units)

    @property
    def name(self) -> str:
        """How the method is called in figures and tables."""
        return type(self).__name__

    def __call__(
        self,
        images: Tensor,
        score: Score | None = None,
        *,
        layers: Sequence[str] | None = None,
        detail: bool | Sequence[str] = False,
        keep: Sequence[str] = (),
    ) -> Flow:
        """Explain a batch of images (B, C, H, W).

        score   what is explained, see naflow.scores; by default the predicted class's logit
        layers  the layers wanted, by name; by default every one
        detail  also the feature maps inside blocks: True for all of them, or modules' names
        keep    "bpfm", "importance": tensors to return beside the maps

        Raises BadInput for images, a score or names that cannot be used, UnsupportedModel for a
        model that cannot be cut into units, NotFinite where a NaN or infinity appears.
        """
        check_keep(keep)
        with preserved(self.model):
            recorded = self.recorded(images, score, detail)
            self.check_layers(recorded, layers)
            return self.explain(recorded, layers, keep)

    def recorded(self, images: Tensor, score: Score | None, detail: bool | Sequence[str]) -> Record:
        """The pass that is explained; methods may send back something else than the gradient."""
        chain = self._chains.chain(images)
        score = score or ClassLogit()
        return record(chain, images, score, self.last, detail, abandon=self.abandon)

    def check_layers(self, record: Record, layers: Sequence[str] | None) -> None:
        """Raise BadInput, with the near names, for a layer that the flow would not have."""
        for layer in layers or ():
            record.check(layer)

    @abstractmethod
    def explain(self, record: Record, layers: Sequence[str] | None, keep: Sequence[str]) -> Flow:
        """The flow of a recorded pass, which it may use up; called with the model in evaluation
        mode."""
