"""Claims about which method's maps lie more on the object inside the network."""

from collections.abc import Sequence
from dataclasses import dataclass

from naflow.metrics import energy_ratio
from pipeline.claims.claim import Verdict
from pipeline.claims.shares import (
    UNKNOWN,
    known_by,
    known_mean,
    rounded,
    through,
    with_object,
    without,
)
from pipeline.material.view import Material


@dataclass(frozen=True)
class AheadInside:
    """Inside the network, the maps of `method` lie on the object more than those of `other`."""

    method: str
    other: str
    layers: Sequence[str]

    def __call__(self, material: Material) -> Verdict:
        names = material.layers(self.layers)[:-1]
        called = {one: found.manifest["method"] for one, found in material.found.items()}
        claim = (
            f"Inside the network {called[self.method]}'s maps lie on the object more than "
            f"{called[self.other]}'s."
        )
        reading = (
            "On the object more: the map's share on it over its share of the area (1 is chance), "
            "the mean over the pictures shown, is larger at every layer shown but the last."
        )
        views = with_object(material.views)
        lacks = without(material, self.method, names)
        if lacks or not views:
            return Verdict(claim, None, reading, lacks or UNKNOWN)
        ratios = {one: through(views, one, names, energy_ratio) for one in material.found}
        ahead = ratios[self.method] > ratios[self.other]
        means = {one: known_mean(values) for one, values in ratios.items()}
        return Verdict(
            claim,
            bool(ahead.all()),
            reading + known_by(views),
            f"Ahead at {ahead.sum()} of {len(names)} layers; mean over them (1 is chance) "
            f"{means[self.method]:.2f} against {means[self.other]:.2f}",
            {
                "pictures": len(views),
                "ahead": dict(zip(names, ahead.tolist(), strict=True)),
                "ratio": {one: rounded(names, values) for one, values in ratios.items()},
                "mean": rounded(list(means), means.values()),
            },
        )
