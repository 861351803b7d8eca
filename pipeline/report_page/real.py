"""The first view of the page: the cat of stage `flow`, a published network on a photograph."""

from pathlib import Path
from typing import Any

import numpy as np

from naflow.cli.demo import PHOTOGRAPHS, photograph
from naflow.errors import BadInput
from naflow.methods import METHODS, label, ordered
from naflow.page import encoded
from pipeline import npy
from pipeline.atomic import read_json
from pipeline.report_page.photographs import Photographs

NAME = "flow"  # of the figure on the page, and of its files
ASKED = "predicted"
MOST = 64 << 20  # bytes of its raw maps together; five methods' take a few
TEXT = ("model", "weights_sha256", "picture", "predicted")


def real(drawings: Path) -> dict[str, Any] | None:
    """Return the content of flow.json, with "maps": method -> layer -> (h, w), shallow to deep;
    None if stage `flow` has not run there. Raises BadInput for files that cannot be read."""
    told, raw = (drawings / f"{NAME}{ending}" for ending in (".json", ".npz"))
    if not (told.is_file() and raw.is_file()):
        return None
    try:
        said = _said(read_json(told))
        return said | {"maps": _maps(raw, said["picture"])}
    except (*npy.DAMAGED, KeyError, TypeError) as error:
        raise BadInput(
            f"{raw} and {told.name} cannot be read ({type(error).__name__}: {error}). Make them "
            f"again: python -m pipeline.flow drawings={drawings}."
        ) from None


def _said(found: Any) -> dict[str, Any]:
    said: dict[str, Any] = {key: str(found[key]) for key in TEXT}
    if said["picture"] not in PHOTOGRAPHS:
        raise ValueError(f"there is no photograph {said['picture']!r}")
    return said | {"confidence": float(found["confidence"])}


def _maps(raw: Path, picture: str) -> dict[str, dict[str, np.ndarray]]:
    maps: dict[str, dict[str, np.ndarray]] = {}
    for key, values in npy.read_all(raw.read_bytes(), MOST).items():
        of_picture, asked, method, layer = key.split("/", 3)
        if (of_picture, asked) != (picture, ASKED):
            continue
        drawn = values.ndim == 2 and values.size and values.dtype.kind == "f"
        if not drawn or not np.isfinite(values).all() or method not in METHODS:
            raise ValueError(f"{key} is no map")
        maps.setdefault(method, {})[layer] = values
    if not maps:
        raise ValueError(f"there is no map of {picture}")
    if len({tuple(of_method) for of_method in maps.values()}) > 1:
        raise ValueError("its methods have other layers")
    return {method: maps[method] for method in ordered(maps)}


def model(found: dict[str, Any], photographs: Photographs) -> dict:
    """Return the network as a model of the page, with its single case; add the photograph."""
    picture, maps = found["picture"], found["maps"]
    pixels = photograph(picture)
    return {
        "name": found["model"],
        "size": pixels.shape[0],
        "seed": None,
        "weights": found["weights_sha256"],
        "layers": list(next(iter(maps.values()))),
        "methods": [
            {
                "key": method,
                "name": label(method),
                "shapes": {layer: list(values.shape) for layer, values in of_method.items()},
            }
            for method, of_method in maps.items()
        ],
        "pictures": {picture: {"label": None, "photograph": photographs.kept(pixels)}},
        "cases": [
            {
                "picture": picture,
                "reference": "",
                "confidence": encoded.number(found["confidence"]),
                "prediction": found["predicted"],
                "contributions": None,
                "flows": {
                    method: encoded.flow(list(of_method.values())) | {"stats": {}}
                    for method, of_method in maps.items()
                },
            }
        ],
    }


def figure(found: dict[str, Any]) -> dict:
    """Return the same view as a figure in words."""
    whose = PHOTOGRAPHS[found["picture"]]
    return {
        "name": NAME,
        "title": "a published network on a photograph",
        "caption": f"How {found['model']}, trained on ImageNet by its authors, came to "
        f"{found['predicted']!r}: the ends of its stages and blocks. {NAME}.png shows the same, "
        "and the cat beside a cup of coffee, asked for either. "
        f"Photograph by {whose.author} ({whose.licence}).",
        "claims": [],
        "chosen": [],
        "cases": {found["model"]: [[found["picture"], ""]]},
        "model": found["model"],
    }
