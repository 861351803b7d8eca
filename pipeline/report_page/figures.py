"""A figure in words: caption, claims, and which pictures it shows by what rule."""

from collections.abc import Mapping
from dataclasses import asdict

from pipeline.explanations.cases import Case
from pipeline.judging.selection import Selection
from pipeline.pictures.labels import spoken


def figure(
    name: str, selection: Selection | None, drawn: Mapping, shown: Mapping[str, list[Case]]
) -> dict:
    """A figure as JSON, `drawn` being its own file and `shown` the cases of every model."""
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
    """Model -> [picture, reference] of each case: those selected under the figure's own model,
    which stands first, and the same pictures under others. Empty where the first has no maps."""
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
