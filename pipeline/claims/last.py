"""Claims about the last map of a flow."""

from dataclasses import dataclass

import numpy as np

from pipeline.claims.claim import Verdict
from pipeline.material.view import Material


@dataclass(frozen=True)
class LastIsGradCAM:
    """The last map equals Grad-CAM's, up to `tolerance` of that map's maximum.

    This must hold for global average pooling and one linear layer: nothing is inverted there.
    """

    method: str
    tolerance: float

    def __call__(self, material: Material) -> Verdict:
        layer = material.first.manifest["layers"][-1]
        apart = {
            view.case.picture: difference(
                view.maps[self.method][layer], view.maps["gradcam"][layer]
            )
            for view in material.views
        }
        largest = max(apart.values())
        return Verdict(
            f"The last map of {material.found[self.method].manifest['method']} is Grad-CAM's.",
            largest <= self.tolerance,
            "Is Grad-CAM's: the largest absolute difference of the two maps is at most "
            f"{self.tolerance:g} of the maximum of Grad-CAM's, for every picture shown.",
            f"Largest difference {largest:.2g} of the maximum at {layer}, allowed "
            f"{self.tolerance:g}",
            {"layer": layer, "difference": {key: told(value) for key, value in apart.items()}},
        )


def told(value: float) -> float | None:
    """Round to three digits for JSON, which cannot hold infinity."""
    return float(f"{value:.3g}") if np.isfinite(value) else None


def difference(first: np.ndarray, second: np.ndarray) -> float:
    """Return the largest absolute difference of two maps over the second's maximum; 0 for two empty
    maps."""
    apart, most = float(np.abs(first - second).max()), float(np.abs(second).max())
    return apart / most if most > 0 else float("inf") if apart > 0 else 0.0
