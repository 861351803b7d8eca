"""How steady a flow is from layer to layer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch

from naflow.metrics import stability
from pipeline.claims.claim import Verdict
from pipeline.figures.view import Material, View


@dataclass(frozen=True)
class Steadier:
    """On the complex picture, the last one chosen, `unsteady` is unstable and `steady` stable.

    layers  model -> layers from shallow to deep
    """

    method: str
    steady: str
    unsteady: str
    layers: Mapping[str, Sequence[str]]

    def __call__(self, material: Material) -> Verdict:
        found = {
            model: {view.case.picture: self.of(view, model) for view in material.of_model(model)}
            for model in (self.unsteady, self.steady)
        }
        shown = material.views[-1].case.picture
        low, high = (found[model][shown][self.method] for model in (self.unsteady, self.steady))
        called = material.found[self.method].manifest["method"]
        return Verdict(
            f"Under {called}, {self.unsteady} is unstable where {self.steady} is stable.",
            low["layers"] < high["layers"],
            "Stability: the mean correlation of the maps of consecutive layers shown, the larger "
            f"one averaged to the other's size. {self.unsteady}'s is the lower one on the complex "
            "picture, the last one shown. A deeper network takes smaller steps from layer to "
            "layer, and by them alone its maps follow each other more closely; the stability from "
            "stage to stage, as many steps in both, is therefore told beside it.",
            f"On {shown}, stability {low['layers']:.2f} against {high['layers']:.2f}; from stage "
            f"to stage {low['stages']:.2f} against {high['stages']:.2f}",
            found,
        )

    def of(self, view: View, model: str) -> dict[str, dict[str, float]]:
        """By method: stability over the layers, and over the last layer of each stage."""
        names = list(self.layers[model])
        return {
            method: {
                "layers": steadiness(view, method, names),
                "stages": steadiness(view, method, ends(names)),
            }
            for method in view.maps
        }


def steadiness(view: View, method: str, names: Sequence[str]) -> float:
    """Mean correlation of each layer's map with the next one's."""
    flow = [torch.from_numpy(view.maps[method][name])[None] for name in names]
    return round(float(stability(flow).mean()), 4)


def ends(names: Sequence[str]) -> list[str]:
    """The last layer of each stage: of those that share what stands before the last dot."""
    return [list(stage)[-1] for _, stage in groupby(names, lambda name: name.rpartition(".")[0])]
