"""Claims about whether two similar pictures attend to the same parts of their objects."""

from dataclasses import dataclass

import numpy as np
import torch

from naflow.metrics import correlation
from naflow.plot import enlarged
from pipeline.claims.claim import Verdict
from pipeline.material.view import Material, View

SIDE = 32  # pixels of an object's box after aligning


@dataclass(frozen=True)
class SameParts:
    """Query and match attend to the same parts in the network `same`, to others in `different`."""

    method: str
    same: str
    different: str

    def __call__(self, material: Material) -> Verdict:
        claim = (
            f"By {material.found[self.method].manifest['method']}, query and match attend to the "
            f"same parts in {self.same}, and to different parts in {self.different}."
        )
        reading = (
            "Agreement: the correlation of the last maps of query and match, each cut to its "
            f"object's box and brought to {SIDE}×{SIDE} pixels. It is larger in {self.same} than "
            f"in {self.different} for every query shown."
        )
        found: dict[str, dict[str, float]] = {}
        for model in (self.different, self.same):
            found[model] = {}
            for view in material.of_model(model):
                pair = view, material.turned(model, view)
                boxless = [one.case.picture for one in pair if not np.isfinite(one.box).all()]
                if boxless:
                    return Verdict(claim, None, reading, f"{boxless[0]} has no box or mask")
                found[model][view.case.picture] = agreement(*pair, self.method)
        low, high = found[self.different], found[self.same]
        return Verdict(
            claim,
            all(low[key] < high[key] for key in low),
            reading,
            "Agreement "
            + "; ".join(f"{low[key]:+.2f} against {high[key]:+.2f} for {key}" for key in low)
            + f" ({self.different} against {self.same})",
            {
                model: {key: round(value, 4) for key, value in of.items()}
                for model, of in found.items()
            },
        )


def agreement(query: View, match: View, method: str) -> float:
    """Return the correlation of the two last maps within the objects' boxes."""
    layer = list(query.maps[method])[-1]
    aligned = [
        torch.from_numpy(in_box(view.maps[method][layer], view.box, view.picture.shape[:2]))[None]
        for view in (query, match)
    ]
    return float(correlation(*aligned))


def in_box(attention: np.ndarray, box: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Cut a map (h, w) of a picture of `size` to a box and resize it bilinearly to (SIDE, SIDE)."""
    x0, y0, x1, y1 = (round(float(edge)) for edge in box)
    whole = enlarged(attention.astype(np.float64), size)
    return enlarged(whole[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)], (SIDE, SIDE))
