"""The texts of figures, made from their data: titles, captions, and the lines at the foot."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from naflow.methods import METHODS
from naflow.plot import CONVENTION, overlay, panel
from pipeline.claims.claim import Verdict
from pipeline.figures.null import NULL, null_hypothesis
from pipeline.figures.page import SOFT, WIDTH, Page
from pipeline.figures.panels import MARGIN
from pipeline.judging.selection import Chosen, Selection
from pipeline.material.extent import by_box
from pipeline.material.view import Material, View
from pipeline.pictures.labels import spoken


@dataclass(frozen=True)
class Drawn:
    """A finished figure.

    caption  complete: with it, the picture needs no other text
    numbers  the numbers that it shows, for its JSON file
    """

    figure: Figure
    title: str
    caption: str
    numbers: dict[str, Any] = field(default_factory=dict)


def title(material: Material, methods: Sequence[str]) -> str:
    """Return the title of a figure of flows."""
    names = listed(material.found[method].manifest["method"] for method in methods)
    return f"Attention flows of {material.selection.model}: {names}"


def caption(material: Material, methods: Sequence[str], names: Sequence[str]) -> str:
    """Return the caption of a figure of flows: pictures, layers, methods, colours, residuals, and
    how the pictures were selected."""
    manifest = material.first.manifest
    size = manifest["settings"]["model"]["input"]["size"]
    images = manifest["settings"]["images"]["name"]
    shown = {method: material.found[method].manifest["method"] for method in methods}
    parts = [
        f"{manifest['model']} on the image set {images!r}, {size}×{size} pixels.",
        *map(sentence, material.selection.chosen, material.views),
        f"Methods: {listed(shown.values())}.",
        *(f"{called}: {METHODS[one].note}." for one, called in noted(shown).items()),
        null_hypothesis(shown),
        f"Columns, shallow to deep: {', '.join(names)}; below each name the size of its map.",
        blank(material, methods, names),
        CONVENTION,
        edges(material.views),
        residuals([*material.views, *material.references], material, methods, names),
        chosen_by(material.selection),
    ]
    return " ".join(part for part in parts if part)


def blank(material: Material, methods: Sequence[str], names: Sequence[str]) -> str:
    """Return which methods lack maps of which layers, as text; "" if none does."""
    lacking = {one: material.lacking(one, names) for one in methods}
    sentences = (
        f"{material.found[one].manifest['method']} has no map of {listed(layers)}."
        for one, layers in lacking.items()
        if layers
    )
    return " ".join(["Blank:", *sentences]) if any(lacking.values()) else ""


def edges(views: Sequence[View]) -> str:
    """Return what the black lines show, as text."""
    lines = {"outline": any(view.mask.any() for view in views), "box": any(map(by_box, views))}
    drawn = [name for name, there in lines.items() if there]
    return f"Black line: the object's {' or '.join(drawn)}." * bool(drawn)


def noted(shown: Mapping[str, str]) -> dict[str, str]:
    """Return those methods, name -> label, for which METHODS has a note. If other settings were
    used, the label differs from that of METHODS, and the note does not apply."""
    return {
        one: called
        for one, called in shown.items()
        if one in METHODS and METHODS[one].note and METHODS[one].label == called
    }


def sentence(chosen: Chosen, view: View) -> str:
    """Return a sentence on one picture and its decision."""
    decision = chosen.decision
    outcome = "rightly" if decision.right else f"though it shows {spoken(decision.label)}"
    beside = f" beside {decision.reference}" * bool(decision.reference)
    measure = "cosine" if decision.reference else "probability"
    return (
        f"{decision.picture}{beside} ({chosen.why}): decided {spoken(decision.predicted)}, "
        f"{outcome}, {measure} {view.confidence:.3f}."
    )


def residuals(
    views: Iterable[View], material: Material, methods: Sequence[str], names: Sequence[str]
) -> str:
    """Return what the numbers below the rows are, and their range, as text."""
    parts = []
    views = list(views)
    for method in methods:
        values = [view.residuals[method].get(n, 0) for view in views for n in names]
        if any(values):
            low, high = min(value for value in values if value > 0), max(values)
            parts.append(
                f"Numbers below the rows of {material.found[method].manifest['method']}: relative "
                f"residual of the inverse that gave the map ({low:.2f} to {high:.2f}; none where "
                "the inverse is exact)."
            )
    return " ".join(parts)


def chosen_by(selection: Selection) -> str:
    """Return how the pictures were selected, and whether too few satisfy the rule, as text."""
    counts = ", ".join(f"{number} {what}" for what, number in selection.counts.items())
    found = f"Pictures: {selection.rule} ({counts})."
    if selection.met:
        return found
    return f"{found} Too few pictures satisfy this rule: the nearest to it are shown."


def foot(
    page: Page, top: float, material: Material, methods: Sequence[str], claims: Sequence[Verdict]
) -> float:
    """Draw the foot: colours, the model, and the outcomes of the claims; return where it ends."""
    bar = page.axes(MARGIN, top + 0.01, 0.6, 0.075)
    panel(bar, overlay(np.full((8, 120, 3), 0.55), np.linspace(0, 1, 120)[None]))
    bar.set_aspect("auto")
    size = material.first.manifest["settings"]["model"]["input"]["size"]
    numbered = any(view.residuals[method] for view in material.views for method in methods)
    words = [
        "Zero to the 99.5th percentile of each map.",
        f"{material.selection.model}, {size}×{size} px.",
        *["Small numbers: residual of the inverse."] * numbered,
        *["Null hyp.: an inverse that adds nothing."] * any(one in NULL for one in methods),
        *["The nearest pictures: none fits the rule."] * (not material.selection.met),
    ]
    left, room = MARGIN + 0.66, WIDTH - 2 * MARGIN - 0.66
    top = page.paragraph(left, top, room, "   ".join(words), color=SOFT) + 0.02
    for claim in claims:
        page.text(MARGIN, top, claim.outcome, fontweight="bold")
        top = page.paragraph(left, top, room, f"{claim.claim} {claim.told}.")
    return top + 0.03


def told(material: Material, methods: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
    """Return what a figure shows and its numbers, for its JSON file."""
    first, views = material.first, [*material.views, *material.references]
    return {
        "model": first.manifest["model"],
        "weights_sha256": first.manifest["weights_sha256"],
        "images": first.manifest["settings"]["images"]["name"],
        "methods": {method: material.found[method].manifest["method"] for method in methods},
        "layers": [{"name": name, "size": list(first.maps[name].shape[1:])} for name in names],
        "residuals": {
            method: {
                " ~ ".join(view.case.pictures): {
                    name: round(value, 4)
                    for name, value in view.residuals[method].items()
                    if name in names
                }
                for view in views
            }
            for method in methods
            if any(view.residuals[method] for view in views)
        },
    }


def listed(names: Iterable[str]) -> str:
    """Join names as in a sentence: "a, b and c"."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
