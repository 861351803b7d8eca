"""Which layers are drawn: the blocks, all of them, or those of a name or pattern."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from naflow.errors import BadInput, near_names

if TYPE_CHECKING:  # the parser tells the words without torch
    from torch import Tensor

    from naflow.explainer import Explainer
    from naflow.flow import Flow
    from naflow.scores import Score

BLOCKS, ALL = "blocks", "all"


@dataclass(frozen=True)
class Layers:
    """names: those asked for; None: all of them, or with `blocks` the ends of blocks alone."""

    names: tuple[str, ...] | None
    blocks: bool = False

    @property
    def said(self) -> str | list[str]:
        """What the manifest says of them."""
        return sorted(self.names) if self.names else BLOCKS if self.blocks else ALL

    def flow(self, explainer: Explainer, images: Tensor, score: Score) -> Flow:
        """The flow of these layers; raises as the explainer does."""
        if not self.blocks:
            return explainer(images, score, layers=self.names)
        from naflow.explainers import CFCAM, GradCAM

        if isinstance(explainer, CFCAM):  # it pays for every layer
            return explainer(images, score, layers=GradCAM(explainer.model)(images, score).blocks)
        return _restricted(explainer(images, score))


def chosen(words: Sequence[str], known: Sequence[str]) -> Layers:
    """The layers that the words of --layers stand for, of those there are.

    Raises BadInput for a word that is none, with the near names.
    """
    if len(words) == 1 and words[0] in (BLOCKS, ALL) and words[0] not in known:
        return Layers(None, words[0] == BLOCKS)
    names: list[str] = []
    for word in words:
        found = [word] if word in known else [layer for layer in known if fnmatchcase(layer, word)]
        if not found:
            raise BadInput(
                f"--layers: there is no layer {word!r}.{near_names(word, known)} Or give {BLOCKS} "
                f"or {ALL} alone, or a pattern, as in 'layer4.*'."
            )
        names += found
    return Layers(tuple(layer for layer in known if layer in names))


def _restricted(flow: Flow) -> Flow:
    """A flow of its blocks alone."""
    ends = flow.blocks
    return replace(
        flow,
        layers=ends,
        maps={layer: flow.maps[layer] for layer in ends},
        stats={layer: flow.stats[layer] for layer in ends if layer in flow.stats},
    )
