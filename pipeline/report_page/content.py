"""The content of the page as JSON: figures in words, and models with their pictures and flows."""

from collections.abc import Mapping
from typing import Any

from naflow.errors import BadInput
from naflow.page import appearance
from pipeline.explanations.cases import Case
from pipeline.explanations.maps import Maps
from pipeline.judging.selection import Selection
from pipeline.report_page import figures, models, real
from pipeline.report_page.photographs import Photographs


def of(
    found: Mapping[str, Mapping[str, Maps]],
    selections: Mapping[str, Selection],
    drawn: Mapping[str, dict],
    evaluated: Mapping[str, Mapping[str, dict]],
    absent: Mapping[str, str] | None = None,
    first: dict[str, Any] | None = None,
) -> dict:
    """Return the content of the page.

    found       model -> method -> maps
    selections  figure -> the pictures selected for it
    drawn       figure -> content of its JSON file
    evaluated   model -> method -> position in depth -> ratio, from stage `evaluate`
    absent      figures that were not drawn -> the reason
    first       the flow that the page shows first, as real.real reads it

    If there are selections, only their pictures are kept, for every model that explained them.
    Raises BadInput if a model has maps, but not of a case selected for it, and if no picture
    remains.
    """
    photographs = Photographs()
    shown = {name: kept(name, methods, selections) for name, methods in found.items()}
    if not any(shown.values()):
        raise BadInput(
            "No picture of the selections was explained by any model. Explain them (dvc repro), or "
            "show all that were explained: report.all=true."
        )
    return {
        "models": [
            models.model(name, found[name], cases, photographs)
            for name, cases in shown.items()
            if cases
        ]
        + ([] if first is None else [real.model(first, photographs)]),
        "figures": ([] if first is None else [real.figure(first)])
        + [
            figures.figure(name, selections.get(name), drawn.get(name, {}), shown)
            for name in sorted({*selections, *drawn})
        ],
        "evaluated": evaluated,
        "absent": absent or {},
        "photographs": photographs.addresses,
        "all": not selections,
        **appearance(),
    }


def kept(
    model: str, methods: Mapping[str, Maps], selections: Mapping[str, Selection]
) -> list[Case]:
    """Return the cases of one model to show, in the order of its maps: those of selected pictures,
    and those with picture and reference exchanged."""
    cases = list(dict.fromkeys(case for maps in methods.values() for case in maps.cases))
    if not selections:
        return cases
    for selection in selections.values():
        for one in selection.chosen if selection.model == model else ():
            for maps in methods.values():
                maps.row(one.case)  # raises BadInput if it was not explained
    chosen = {one.decision.picture for each in selections.values() for one in each.chosen}
    wanted = {case for case in cases if case.picture in chosen}
    return [case for case in cases if case in wanted or (case.reference and case.turned in wanted)]
