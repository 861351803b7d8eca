"""Claims about how stable a flow is from layer to layer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch

from naflow.metrics import stability
from pipeline.claims.claim import Verdict
from pipeline.material.view import Material, View


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
        called = material.found[self.method].manifest["method"]
        claim = f"Under {called}, {self.unsteady} is unstable where {self.steady} is stable."
        reading = (
            "Stability: the mean correlation of the maps of consecutive layers shown, the larger "
            f"one averaged to the other's size. {self.unsteady}'s is the lower one on the complex "
            "picture, the last one shown. A deeper network takes smaller steps from layer to "
            "layer, and by them alone its maps follow each other more closely; the stability from "
            "stage to stage, as many steps in both, is therefore told beside it."
        )
        found = {
            model: {view.case.picture: self.of(view, model) for view in material.of_model(model)}
            for model in (self.unsteady, self.steady)
        }
        shown = material.views[-1].case.picture
        if any(self.method not in of_model[shown] for of_model in found.values()):
            return Verdict(claim, None, reading, f"{called} has no map of some of the layers")
        low, high = (found[model][shown][self.method] for model in (self.unsteady, self.steady))
        return Verdict(
            claim,
            low["layers"] < high["layers"],
            reading,
            f"On {shown}, stability {low['layers']:.2f} against {high['layers']:.2f}; from stage "
            f"to stage {low['stages']:.2f} against {high['stages']:.2f}",
            found,
        )

    def of(self, view: View, model: str) -> dict[str, dict[str, float]]:
        """Return method -> stability over the layers, and over the last layers of stages. Methods
        that lack a map of one of the layers are left out."""
        names = list(self.layers[model])
        return {
            method: {
                "layers": steadiness(view, method, names),
                "stages": steadiness(view, method, ends(names)),
            }
            for method, of_method in view.maps.items()
            if of_method.keys() >= set(names)
        }


def steadiness(view: View, method: str, names: Sequence[str]) -> float:
    """Return the mean correlation of each layer's map with the next one's."""
    flow = [torch.from_numpy(view.maps[method][name])[None] for name in names]
    return round(float(stability(flow).mean()), 4)


def ends(names: Sequence[str]) -> list[str]:
    """Return the last layer of each stage: of the layers that share the name before the last
    dot."""
    return [list(stage)[-1] for _, stage in groupby(names, lambda name: name.rpartition(".")[0])]
