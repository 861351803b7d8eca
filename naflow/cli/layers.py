"""Choose the layers to draw: the blocks, all layers, or those with certain names or patterns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from naflow.errors import BadInput, near_names

if TYPE_CHECKING:  # the parser needs the constants without importing torch
    from torch import Tensor

    from naflow.explainer import Explainer
    from naflow.flow import Flow
    from naflow.scores import Score

BLOCKS, ALL = "blocks", "all"


@dataclass(frozen=True)
class Layers:
    """The layers to draw.

    names   their names; None: all layers, or, with `blocks`, the ends of blocks only
    """

    names: tuple[str, ...] | None
    blocks: bool = False

    @property
    def said(self) -> str | list[str]:
        """The choice as the manifest stores it."""
        return sorted(self.names) if self.names else BLOCKS if self.blocks else ALL

    def flow(self, explainer: Explainer, images: Tensor, score: Score) -> Flow:
        """Return the flow of these layers. Raises as the explainer does."""
        if not self.blocks:
            return explainer(images, score, layers=self.names)
        from naflow.explainers import CFCAM, GradCAM

        if isinstance(explainer, CFCAM):  # its cost grows with the number of layers
            return explainer(images, score, layers=GradCAM(explainer.model)(images, score).blocks)
        return _restricted(explainer(images, score))


def chosen(words: Sequence[str], known: Sequence[str]) -> Layers:
    """Return the layers that the words after --layers stand for. known: all layers of the model.

    Raises BadInput for an unknown word, with similar names.
    """
    if len(words) == 1 and words[0] in (BLOCKS, ALL) and words[0] not in known:
        return Layers(None, words[0] == BLOCKS)
    names: list[str] = []
    for word in words:
        meant = [word] if word in known else [layer for layer in known if fnmatchcase(layer, word)]
        if not meant:
            raise BadInput(
                f"--layers: there is no layer {word!r}.{near_names(word, known)} Or give {BLOCKS} "
                f"or {ALL} alone, or a pattern, as in 'layer4.*'."
            )
        names += meant
    return Layers(tuple(layer for layer in known if layer in names))


def _restricted(flow: Flow) -> Flow:
    """Return a flow with only the ends of its blocks."""
    ends = flow.blocks
    return replace(
        flow,
        layers=ends,
        maps={layer: flow.maps[layer] for layer in ends},
        stats={layer: flow.stats[layer] for layer in ends if layer in flow.stats},
    )
