"""Material for figures and claims: maps made up, on the small scenes."""

import numpy as np

from naflow.methods import METHODS
from pipeline.explanations.cases import Case
from pipeline.explanations.maps import Maps
from pipeline.figures.view import Material
from pipeline.judging.decisions import Decision
from pipeline.judging.selection import Chosen, Selection

NAMES = {
    name: METHODS[name].label
    for name in ("gradcam", "naflow_released", "naflow_damped", "naflow", "hirescam", "layercam")
}
INVERTED = "naflow_damped"  # whose inverses leave residuals
LAYERS = {"relu": 16, "layer1.0": 8, "layer1.1": 8, "layer2.0": 4}  # name -> side of its map
COLUMNS = {"id": "id", "image": "image", "mask": "mask", "label": "class", "split": "split"}
BOX = {"box": ["x0", "y0", "x1", "y1"]}
SIZE = 32


def material(
    root, cases=("disc_test_000", "cross_test_000"), *, changed=None, met=True, masks=True, **more
):
    """The material of a figure of "small"; cases: ids, or pairs of ids for a likeness.

    changed  (method, layer, case) -> map or None, to replace the maps, which are random
    masks    True; "box": boxes alone; False: nothing tells where the object is
    more     support: ids; beside: the material of the second model; model: its name
    """
    cases = [Case(*([one] if isinstance(one, str) else one)) for one in cases]
    columns = {
        True: COLUMNS | BOX,
        "box": COLUMNS | BOX | {"mask": "none"},
        False: COLUMNS | {"mask": "none"},
    }[masks]
    images = {
        "_target_": "pipeline.pictures.images.Folder",
        "name": "shapes",
        "root": str(root),
        "index": "index.csv",
        "columns": columns,
    }
    explained = list(
        dict.fromkeys(way for c in cases for way in ([c, c.turned][: len(c.pictures)]))
    )
    model = more.get("model", "small")
    found = {method: maps(method, model, explained, images, changed) for method in NAMES}
    chosen = tuple(
        Chosen(
            Decision(
                one.picture,
                one.picture,
                one.picture.split("_")[0],
                (one.reference or one.picture).split("_")[0],
                0.5,
                one.reference,
                more.get("support", ()),
            ),
            "right" if met else "nearly",
        )
        for one in cases
    )
    selection = Selection("fig99", model, "the first ones", met, chosen, {"decided": 30})
    beside = more["beside"].found if "beside" in more else found
    return Material(selection, found, beside)


def maps(method, model, cases, images, changed):
    rng = np.random.default_rng(sorted(NAMES).index(method))

    def one(layer, side, case):
        given = changed(method, layer, case) if changed else None
        return rng.random((side, side)) if given is None else given

    values = {
        layer: np.stack([one(layer, side, case) for case in cases]).astype(np.float32)
        for layer, side in LAYERS.items()
    }
    count, alike = len(cases), bool(cases[0].reference)
    residual = np.linspace(0.1, 0.4, count)
    stats = {
        name: {"residual": residual if n < 3 else 0 * residual} for n, name in enumerate(LAYERS)
    }
    return Maps(
        manifest={
            "method": NAMES[method],
            "model": model,
            "classes": ["cross", "disc"],
            "layers": list(LAYERS),
            "settings": {"model": {"input": {"size": SIZE, "fit": "crop"}}, "images": images},
            "weights_sha256": "0" * 64,
        },
        cases=list(cases),
        labels=[case.picture.split("_")[0] for case in cases],
        score=np.ones(count),
        confidence=np.linspace(0.9, 0.6, count),
        prediction=np.full(count, -1 if alike else 1),
        weights=np.tile([0.5, 0.25, 0.15, 0.1], (count, 1)) if alike else np.zeros((count, 0)),
        maps=values,
        stats=stats if method == INVERTED else {},
    )


def sizes(figure):
    """The sizes of all letters, in points."""
    return [text.get_fontsize() for text in texts(figure)]


def words(figure):
    """All that is written."""
    return " | ".join(text.get_text() for text in texts(figure))


def texts(figure):
    inside = [text for ax in figure.axes for text in ax.texts]
    return [text for text in [*figure.texts, *inside] if text.get_text()]


def outside(figure):
    """What is written beyond the edge of the page."""
    figure.canvas.draw()
    width, height = figure.bbox.size
    boxes = {text: text.get_window_extent() for text in texts(figure)}
    return [
        text.get_text()
        for text, box in boxes.items()
        if box.x0 < -1 or box.y0 < -1 or box.x1 > width + 1 or box.y1 > height + 1
    ]


def overlapping(figure):
    """Pairs of words that cover each other."""
    figure.canvas.draw()
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts(figure)]
    # Lines of one paragraph may touch; letters must not.
    boxes = [(words, box.padded(-0.2 * min(box.width, box.height))) for words, box in boxes]
    return [
        (a, b)
        for number, (a, one) in enumerate(boxes)
        for b, other in boxes[number + 1 :]
        if one.overlaps(other)
    ]
