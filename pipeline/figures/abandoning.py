"""The figure of abandoning: the neurons that a decision uses, on a network small enough to draw
them all, and the share that a real network abandons.

Nothing is drawn by hand: the method explains the small network like any other model.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
from torch import nn

from naflow import NAFlow
from naflow.errors import BadInput
from naflow.plot import panel
from pipeline.claims.claim import Verdict
from pipeline.explanations import recorded
from pipeline.explanations.maps import Maps
from pipeline.figures.diagram import diagram
from pipeline.figures.page import NORMAL, SMALL, SOFT, WIDTH, Page
from pipeline.figures.small_network import worked_example
from pipeline.figures.words import Drawn, chosen_by
from pipeline.material.view import Material, View
from pipeline.pictures.labels import spoken

READING = (
    "Our reading of the counts: a neuron is used when its importance is not exactly 0, abandoned "
    "otherwise, and counts once; neuron-times count its every use, an entry of the next layer's "
    "Jacobian that is not 0 and leads to a used neuron, so a neuron in several overlapping windows "
    "counts once for each."
)


def draw(material: Material, claims: Sequence[Verdict], method: str) -> Drawn:
    """Draw (a) the worked example with the settings of `method`, (b) the share of abandoned neurons
    in every layer of the figure's model. Raises BadInput if there are no maps of `method`."""
    (method,) = material.methods([method])
    found, view = material.found[method], material.views[0]
    example = worked_example(partial(abandoning, found))
    page = Page()
    page.text(0.03, 0.02, "(a)", NORMAL, fontweight="bold")
    top = diagram(page, 0.02, example) + 0.16
    page.text(0.03, top, "(b)", NORMAL, fontweight="bold")
    end = over_depth(page, top, view, found)
    row = found.row(view.case)
    return Drawn(
        page.ended(end),
        "Neuron abandoning: which neurons a decision uses, layer by layer",
        caption(material, found, view),
        {
            "model": found.manifest["model"],
            "method": found.manifest["method"],
            "example": {layer.use.name: layer.use.counts for layer in example.layers},
            "abandoned": {
                name: round(float(stats["abandoned"][row]), 4)
                for name, stats in found.stats.items()
            },
        },
    )


def abandoning(found: Maps, network: nn.Module) -> NAFlow:
    """Make the method of these maps for another network. Raises BadInput if it is no NAFlow, which
    alone abandons neurons."""
    explainer = recorded.method(found.manifest)(network)
    if not isinstance(explainer, NAFlow):
        raise BadInput(
            f"{found.manifest['method']} abandons no neurons: give the figure another method "
            "(conf/figures.yaml, draw.method)."
        )
    return explainer


def caption(material: Material, found: Maps, view: View) -> str:
    """Return the figure's complete caption."""
    manifest = found.manifest
    return (
        "(a) A convolutional network along one dimension, its weights fixed, and the logit S of "
        "the class it predicts for one signal. Every neuron is shown with its activation x, its "
        "importance coefficient α = dS/dx and its back-propagated feature map x~ by "
        f"{manifest['method']}; a cross marks those that are abandoned. x and x~ of a layer have "
        "one scale. M = ReLU(sum of α x~ over the channels) is the layer's attention map. Neurons "
        "stand at the middle of what they see of the signal. Dark lines: connections between used "
        f"neurons; pale lines: from or to an abandoned one. {READING} (b) Share of abandoned "
        f"neurons in every layer of {manifest['model']} on the image set "
        f"{manifest['settings']['images']['name']!r}: bars {view.case.picture}, dots each of the "
        f"{len(found.cases)} pictures explained. {chosen_by(material.selection)}"
    )


def over_depth(page: Page, top: float, view: View, found: Maps) -> float:
    """Draw one bar per layer for one picture, shown on the left, and a dot for each picture
    explained; return where it ends, in inches."""
    side, left, row = 0.85, 1.6, found.row(view.case)
    panel(page.axes(0.3, top, side, side), view.picture)
    page.text(
        0.3 + side / 2,
        top + side + 0.04,
        f"{found.manifest['model']}: {spoken(view.predicted)}, {view.confidence:.1%}",
        SMALL,
        ha="center",
        color=SOFT,
    )
    ax = page.axes(left, top + 0.02, WIDTH - left - 0.03, side)
    names = list(found.stats)
    for at, name in enumerate(names):
        shares = 100 * found.stats[name]["abandoned"]
        ax.bar(at, shares[row], width=0.6, color="#b10026", alpha=0.8, linewidth=0)
        spread = np.linspace(-0.2, 0.2, len(shares)) if len(shares) > 1 else np.zeros(1)
        ax.plot(at + spread, shares, ".", color="0.2", ms=1.3, mew=0, clip_on=False, zorder=3)
    ax.set(xlim=(-0.6, len(names) - 0.4), ylim=(0, 100), yticks=[0, 25, 50, 75, 100])
    ax.set_xticks(range(len(names)), names, rotation=35, ha="right", rotation_mode="anchor")
    ax.set_ylabel("abandoned, % of neurons", fontsize=NORMAL, labelpad=2)
    ax.tick_params(labelsize=SMALL, length=2, width=0.5, pad=1.5)
    for name, spine in ax.spines.items():
        spine.set_visible(name in ("left", "bottom"))
        spine.set_linewidth(0.5)
    return top + side + 0.42
