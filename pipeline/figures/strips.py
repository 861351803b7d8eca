"""The figure of strips: each picture with its flows, one row per method, one column per layer."""

from collections.abc import Sequence

from pipeline.claims.claim import Verdict
from pipeline.figures.page import SMALL, SOFT, Page
from pipeline.figures.panels import (
    HEADER,
    LABEL,
    MARGIN,
    header,
    picture,
    places,
    rows,
    short,
)
from pipeline.figures.words import Drawn, caption, foot, title, told
from pipeline.material.view import Material, View
from pipeline.pictures.labels import spoken

SIDE, LARGEST = 0.85, 0.54  # inches: smallest side of a picture, largest cell


def draw(
    material: Material, claims: Sequence[Verdict], methods: Sequence[str], layers: Sequence[str]
) -> Drawn:
    """Draw the chosen pictures by `methods`, at `layers`, shallow to deep.

    Raises BadInput for a method or a layer without maps.
    """
    methods, names = material.methods(methods), material.layers(layers)
    page = Page()
    end = foot(page, strips(page, material, methods, names), material, methods, claims)
    return Drawn(
        page.ended(end),
        title(material, methods),
        caption(material, methods, names),
        told(material, methods, names),
    )


def strips(page: Page, material: Material, methods: Sequence[str], names: list[str]) -> float:
    """Draw all pictures with their flows, from the top of the page; return where they end."""
    left, cell = places(len(names), SIDE, LARGEST)
    header(page, left, 0.02, cell, material.first, names)
    found = {method: material.found[method] for method in methods}
    top = 0.02 + HEADER
    for view in material.views:
        below = aside(page, top, left - LABEL - MARGIN, view)
        top = max(below, rows(page, left, top, cell, [view], found, names)) + 0.08
    return top


def aside(page: Page, top: float, side: float, view: View) -> float:
    """Draw the picture and the network's decision; return where they end."""
    top = picture(page, MARGIN, top, side, view)
    decided = f"predicted {spoken(view.predicted)}, {view.confidence:.1%}"
    for words in (decided, short(view.case.picture)):
        top = page.paragraph(MARGIN, top, side, words, SMALL, centred=True, color=SOFT)
    return top
