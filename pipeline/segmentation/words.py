"""The texts of the figure `segmentation`, made from its data."""

from typing import Any

from naflow.plot import CONVENTION
from pipeline.figures.words import listed
from pipeline.segmentation.answers import Answer
from pipeline.segmentation.drawing import Sheet

PIXELS = {
    "class": "all pixels predicted so",
    "component": "the largest connected part of what is predicted so",
    "box": "a box, a part of that around the largest connected part of what is predicted so",
    "point": "the pixel deepest inside the largest connected part of what is predicted so",
    "all": "the whole picture",
}


def told(sheet: Sheet) -> dict[str, Any]:
    """Return title, caption and numbers for the figure's JSON file."""
    names = list(sheet.methods.values())
    return {
        "title": f"Attention flows of {sheet.model}: {listed(names)}",
        "caption": caption(sheet),
        "model": sheet.model,
        "images": sheet.images,
        "methods": dict(sheet.methods),
        "layers": list(sheet.layers),
        "answers": [numbers(answer) for answer in sheet.answers],
    }


def caption(sheet: Sheet) -> str:
    """Return the figure's complete caption."""
    side = len(sheet.answers[0].image)
    parts = [
        f"{sheet.model} on the image set {sheet.images!r}, {side}×{side} pixels.",
        *map(sentence, sheet.answers),
        f"Methods: {listed(sheet.methods.values())}; each explains the sum of the class's logits "
        "over the pixel set.",
        f"Columns, in the order in which the layers run: {', '.join(sheet.layers)}; below each "
        "name the size of its map.",
        CONVENTION,
        "All grey: the map is zero everywhere." * any_empty(sheet),
        "Black line: what is predicted as the class. Blue line or dot: the pixel set. Below each "
        "picture the whole prediction, a colour a class.",
        cut_points(sheet),
    ]
    return " ".join(part for part in parts if part)


def any_empty(sheet: Sheet) -> bool:
    """Whether some map is zero everywhere."""
    return any(
        not attention.any()
        for answer in sheet.answers
        for of_method in answer.maps.values()
        for attention in of_method.values()
    )


def sentence(answer: Answer) -> str:
    """Return a sentence on one question and its picture."""
    question = answer.question
    if answer.refused:
        return answer.refused
    chosen = "" if question.picture else ", in the middle by IoU of those that show the class"
    count = int(answer.pixels.sum())
    return (
        f"{answer.picture}{chosen} ({answer.iou:.2f}): why {question.of} at "
        f"{PIXELS[question.pixels]}, {count} pixel{'s' * (count != 1)}?"
    )


def cut_points(sheet: Sheet) -> str:
    """Return between which layers NAFlow inverts, and where the other maps come from, as text."""
    answer = next((one for one in sheet.answers if not one.refused), None)
    parts = []
    for method, rules in (answer.rules if answer else {}).items():
        if not rules:
            continue
        inner = [n for n in sheet.layers if rules.get(n, "").startswith("through ")]
        own = [n for n in rules if n not in inner]
        without = [n for n in sheet.layers if n not in rules]
        parts += [
            f"{sheet.methods[method]} inverts from one value through which all data pass to the "
            "one before it, and the long skips leave few of them"
            + (f": of the layers shown {listed(own)}." if own else "."),
            f"Between two of them lie {listed(inner)}: their maps are read inside the local affine "
            "map of one block."
            if inner
            else "",
            f"It has no map at {listed(without)}." if without else "",
            "Small numbers: relative residual of the inverse (none where it is exact).",
        ]
    return " ".join(part for part in parts if part)


def numbers(answer: Answer) -> dict[str, Any]:
    """Return the numbers of one block of rows."""
    return {
        "picture": answer.picture,
        "class": answer.question.of,
        "pixels": answer.question.pixels,
        "count": int(answer.pixels.sum()),
        "iou": round(answer.iou, 4),
        "refused": answer.refused or None,
        "inside": {
            method: {name: None if v is None else round(v, 4) for name, v in of.items()}
            for method, of in answer.inside.items()
        },
        "residuals": {
            method: {name: round(value, 4) for name, value in of.items()}
            for method, of in answer.residuals.items()
            if of
        },
    }
