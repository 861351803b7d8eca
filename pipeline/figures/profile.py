"""The figure of strips with curves below: how much of each layer's map is on the object."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from naflow.metrics import energy_ratio
from pipeline.claims.claim import Verdict
from pipeline.claims.shares import rounded, through, with_object
from pipeline.figures.lines import styles
from pipeline.figures.page import NORMAL, SMALL, SOFT, Page, framed
from pipeline.figures.panels import MARGIN, PANEL, places
from pipeline.figures.strips import LARGEST, SIDE, strips
from pipeline.figures.words import Drawn, caption, foot, title, told
from pipeline.material.view import Material

HEIGHT = 0.9  # inches of the curves
SAYS = (
    "Curves: the map's share on the object over the object's share of the area, the mean over the "
    "pictures shown; 1 is chance."
)


def draw(
    material: Material, claims: Sequence[Verdict], methods: Sequence[str], layers: Sequence[str]
) -> Drawn:
    """Draw the chosen pictures by `methods`, at `layers`, and curves if objects are known.

    Raises BadInput for a method or a layer without maps.
    """
    methods, names = material.methods(methods), material.layers(layers)
    page, ratios = Page(), {}
    top = strips(page, material, methods, names)
    if with_object(material.views):
        ratios = {one: through(material.views, one, names, energy_ratio) for one in methods}
        top = curves(page, top + 0.02, material, ratios, len(names))
    end = foot(page, top, material, methods, claims)
    return Drawn(
        page.ended(end),
        title(material, methods),
        " ".join([caption(material, methods, names), *[SAYS] * bool(ratios)]),
        told(material, methods, names)
        | {"ratio": {one: rounded(names, values) for one, values in ratios.items()}},
    )


def curves(
    page: Page, top: float, material: Material, ratios: Mapping[str, np.ndarray], count: int
) -> float:
    """Draw one curve per method, with the names on the left; return where they end."""
    left, cell = places(count, SIDE, LARGEST)
    ax = page.axes(left, top, cell * count, HEIGHT)
    words = "Share on the object, in multiples of chance"
    below = page.paragraph(MARGIN, top, 1.3, words, NORMAL, fontweight="bold") + 0.06
    for method, own in styles(list(ratios)).items():
        style: dict[str, Any] = {"linewidth": 1, "markersize": 3} | own
        ax.plot(np.arange(count) + PANEL / 2, ratios[method], **style)
        line = page.inches(MARGIN, below, 0.2, 0.1)
        line.plot([0, 0.1, 0.2], [0.05] * 3, markevery=[1], **style)
        page.text(
            MARGIN + 0.26, below + 0.05, material.found[method].manifest["method"], va="center"
        )
        below += 0.11
    ax.axhline(1, color=SOFT, linewidth=0.6, linestyle=(0, (1, 2)))
    ax.text(count, 1.02, "chance", fontsize=SMALL, color=SOFT, ha="right", va="bottom")
    ax.set(xlim=(0, count), xticks=[], ylim=(0, None))
    framed(ax, "left")
    return top + HEIGHT + 0.05
