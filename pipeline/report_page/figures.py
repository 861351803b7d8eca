"""A figure in words: its caption, claims, and pictures with the rule that selected them."""

from collections.abc import Mapping
from dataclasses import asdict

from pipeline.explanations.cases import Case
from pipeline.judging.selection import Selection
from pipeline.pictures.labels import spoken


def figure(
    name: str, selection: Selection | None, drawn: Mapping, shown: Mapping[str, list[Case]]
) -> dict:
    """Return a figure as JSON. drawn: the content of its own file; shown: model -> its cases."""
    about = {
        "name": name,
        "title": drawn.get("title"),
        "caption": drawn.get("caption"),
        "claims": drawn.get("claims", []),
        "chosen": [],
        "cases": None,  # nothing was selected for it
    }
    if selection is None:
        return about
    return about | {
        "model": selection.model,
        "rule": selection.rule,
        "met": selection.met,
        "counts": selection.counts,
        "chosen": [
            asdict(one.decision)
            | {"why": one.why, "label": spoken(one.decision.label)}
            | {"predicted": spoken(one.decision.predicted)}
            for one in selection.chosen
        ],
        "cases": cases(selection, shown),
    }


def cases(selection: Selection, shown: Mapping[str, list[Case]]) -> dict[str, list[list[str]]]:
    """Return model -> [picture, reference] of each case: first the figure's own model with the
    selected cases, then other models with the same pictures. Empty if the first has no maps."""
    if not shown.get(selection.model):
        return {}
    own = [one.case for one in selection.chosen]
    pictures = [case.picture for case in own]
    of = {selection.model: own} | {
        model: [case for case in theirs if case.picture in pictures]
        for model, theirs in shown.items()
        if model != selection.model
    }
    return {model: [[c.picture, c.reference] for c in some] for model, some in of.items() if some}
