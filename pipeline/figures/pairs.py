"""The figure of pairs: two pictures that a network finds similar, with the flows of both."""

from collections.abc import Sequence

import numpy as np

from naflow.plot import panel
from pipeline.claims.claim import Verdict
from pipeline.figures.page import LARGE, NORMAL, SMALL, SOFT, Page, framed
from pipeline.figures.panels import (
    HEADER,
    LABEL,
    MARGIN,
    header,
    outline,
    picture,
    places,
    rows,
    short,
)
from pipeline.figures.words import Drawn, caption, foot, title, told
from pipeline.judging.selection import Chosen
from pipeline.material.view import Material, View
from pipeline.pictures.labels import spoken
from pipeline.pictures.pixels import read

SIDE, LARGEST = 1.5, 0.4  # inches: least room left of the flows, largest cell
ROLES = ("query", "match")
OWN, MATCH = "#0072b2", "#b10026"
WEIGHTS = (
    "Curve: the sum of the k largest of the D contribution weights, which add up to 1; grey: what "
    "equal weights would give; dotted: where half is reached."
)
SUPPORT = "Small pictures: the support set; red: the match, blue: the query's own class."


def draw(
    material: Material, claims: Sequence[Verdict], methods: Sequence[str], layers: Sequence[str]
) -> Drawn:
    """Draw each chosen picture and its match by `methods`, at `layers`, shallow to deep.

    Raises BadInput for a method or a layer without maps.
    """
    methods, names = material.methods(methods), material.layers(layers)
    found = {method: material.found[method] for method in methods}
    left, cell = places(len(names), SIDE, LARGEST)
    page, top = Page(), 0.02
    chosen = material.selection.chosen
    for one, *pair in zip(chosen, material.views, material.references, strict=True):
        header(page, left, top, cell, material.first, names)
        below = aside(page, top + HEADER, left - LABEL - 0.12, material, one, pair)
        below = max(below, rows(page, left, top + HEADER, cell, pair, found, names, ROLES))
        top = below + 0.08
    end = foot(page, top, material, methods, claims)
    says = [WEIGHTS, *[SUPPORT] * any(one.decision.support for one in chosen)]
    return Drawn(
        page.ended(end),
        title(material, methods),
        " ".join([caption(material, methods, names), *says]),
        told(material, methods, names)
        | {
            "half_of_the_weights": {
                view.case.picture: {"channels": half(view.weights), "of": len(view.weights)}
                for view in material.views
            }
        },
    )


def aside(
    page: Page, top: float, width: float, material: Material, chosen: Chosen, pair: Sequence[View]
) -> float:
    """Draw both pictures, the decision, the support set and the weights; return where they end."""
    side, ends = (width - 0.08) / 2, []
    for number, view in enumerate(pair):
        at = MARGIN + number * (side + 0.08)
        below = picture(page, at, top, side, view)
        for words in (ROLES[number], short(view.case.picture)):
            below = page.paragraph(at, below, side, words, SMALL, centred=True, color=SOFT)
        ends.append(below)
    decision, top = chosen.decision, max(ends) + 0.06
    outcome = f"decided {spoken(decision.predicted)}, {'right' if decision.right else 'wrong'}"
    top = page.paragraph(MARGIN, top, width, outcome, LARGE, fontweight="bold")
    facts = f"{chosen.why}; cosine {pair[0].confidence:.3f}"
    top = page.paragraph(MARGIN, top, width, facts, SMALL, color=SOFT) + 0.05
    if decision.support:
        top = support(page, top, width, material, chosen) + 0.05
    return weights(page, top, width, pair[0].weights)


def support(page: Page, top: float, width: float, material: Material, chosen: Chosen) -> float:
    """Draw the support pictures, with marks on the match and the query's own class; return where
    they end."""
    cut = material.first.manifest["settings"]["model"]["input"]
    pictures = [material.images.of_id(key) for key in chosen.decision.support]
    pixels = read(pictures, [], cut["size"], cut["fit"], quiet=True)
    cell = width / len(pictures)
    for number, one in enumerate(pictures):
        left, side = MARGIN + number * cell, cell * 0.9
        ax = page.axes(left, top, side, side)
        panel(ax, pixels.images[number].permute(1, 2, 0).numpy() / 255)
        outline(ax, pixels.masks[number].numpy(), 0.3)
        match, own = one.id == chosen.decision.reference, one.label == chosen.decision.label
        for spine in ax.spines.values():
            spine.set(visible=match or own, linewidth=1.2, color=MATCH if match else OWN)
        marks = [("match", MATCH)] * match + [("own", OWN), ("class", OWN)] * own
        for line, (words, colour) in enumerate(marks):
            place = top + side + 0.025 + 0.08 * line
            page.text(left + side / 2, place, words, SMALL, ha="center", color=colour)
    return top + cell + 0.27


def weights(page: Page, top: float, width: float, shares: np.ndarray) -> float:
    """Draw the sum of the k largest contribution weights, and where it is one half; return where it
    ends."""
    most, every = half(shares), len(shares)
    words = f"half of Σw in {most:,} of D = {every:,}"
    top = page.paragraph(MARGIN, top, width, words, NORMAL) + 0.03
    inset, height = 0.16, 0.5
    ax = page.axes(MARGIN + inset, top, width - inset, height)
    count = np.arange(1, every + 1)
    ax.plot(count, count / every, color="0.7", linewidth=0.8)
    ax.plot(count, np.sort(shares)[::-1].cumsum(), color=MATCH, linewidth=1)
    ax.plot([1, most, most], [0.5, 0.5, 0], color=SOFT, linewidth=0.6, linestyle=":")
    ax.set(xscale="log", xlim=(1, every), ylim=(0, 1.02), yticks=[0, 0.5, 1])
    ax.set_yticklabels(["0", ".5", "1"])
    ax.minorticks_off()
    framed(ax, "left", "bottom")
    ax.set_xlabel("k largest", fontsize=SMALL, labelpad=0)
    return top + height + 0.22


def half(shares: np.ndarray) -> int:
    """Return how many of the largest weights (D,) make up half of the sum."""
    total = np.sort(shares.astype(np.float64))[::-1].cumsum()
    return int(np.searchsorted(total, 0.5 * total[-1])) + 1
