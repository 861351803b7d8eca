"""What the page shows, as JSON: figures in words, and models with their pictures and flows."""

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
    """Everything: `found` are model -> method -> maps, `drawn` are the figures' JSON files,
    `evaluated` is that of stage `evaluate`, model -> method -> where in the depth -> ratio;
    `absent` are the figures that were not drawn, each with the reason; `first` is the flow that the
    page opens on, as real.real reads it.

    Where there are selections, only their pictures are kept, with every model that explained them.
    Raises BadInput where a model has maps but not of the case selected for it, and where nothing
    is left.
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
    """The cases of one model that are shown, in the order of its maps: those of selected pictures,
    and the same from the other side."""
    cases = list(dict.fromkeys(case for maps in methods.values() for case in maps.cases))
    if not selections:
        return cases
    for selection in selections.values():
        for one in selection.chosen if selection.model == model else ():
            for maps in methods.values():
                maps.row(one.case)  # raises where it was not explained
    chosen = {one.decision.picture for each in selections.values() for one in each.chosen}
    wanted = {case for case in cases if case.picture in chosen}
    return [case for case in cases if case in wanted or (case.reference and case.turned in wanted)]
