"""The page of the command line: photographs explained by every method, opened in a browser."""

from __future__ import annotations

import sys
import webbrowser
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from naflow.atomic import replacing
from naflow.cli.files import shown
from naflow.cli.photos import PhotoFile
from naflow.cli.results import Result
from naflow.errors import printable
from naflow.page import appearance, encoded, html
from naflow.page.server import PageServer

#: Name of a column of the page -> the photograph's flow in it.
Results = Mapping[str, Result]
_FIELDS = ("rule", "iterations", "residual", "norm_ratio", "abandoned", "stop")


def content(
    model: str, weights: Mapping[str, str | None], photos: Mapping[str, Results]
) -> dict[str, Any]:
    """Return the content of the page of a model. photos: name -> flows of the photograph."""
    first = next(iter(photos.values()))
    shown_photos = [picture(name, results) for name, results in photos.items()]
    return {
        "models": [
            {
                "name": model,
                "size": len(next(iter(first.values())).square),
                "seed": None,
                "weights": weights["sha256"] or "",
                "layers": list(dict.fromkeys(at for one in first.values() for at in one.maps)),
                "methods": [_method(key, one) for key, one in first.items()],
                "pictures": {
                    one["picture"]: {"label": None, "photograph": at}
                    for at, one in enumerate(shown_photos)
                },
                "cases": [one["one"] for one in shown_photos],
            }
        ],
        "figures": [],
        "evaluated": {},
        "absent": {},
        "photographs": [one["photograph"] for one in shown_photos],
        "all": True,
        **appearance(),
    }


def picture(name: str, results: Results) -> dict[str, Any]:
    """Return the content for one photograph; also the answer to a photograph that was dropped."""
    first = next(iter(results.values()))
    return {
        "picture": printable(name),
        "label": None,
        "photograph": encoded.photograph(first.square),
        "one": {
            "picture": printable(name),
            "reference": "",
            "confidence": None,
            "prediction": None,
            "told": printable(_told(results)),
            "contributions": None,
            "flows": {key: _flow(result) for key, result in results.items()},
        },
    }


def _told(results: Results) -> str:
    """Return the network's predictions for a photograph, and what is explained, as text."""
    predicted = next(iter(results.values())).predicted()
    explained = ", ".join(dict.fromkeys(one.said() for one in results.values()))
    return f"{predicted} Explained: {explained}." if predicted else explained


def _method(key: str, result: Result) -> dict[str, Any]:
    word = key.partition("/")[2]
    return {
        "key": key,
        "name": f"{result.flow.method}: {word}" if word else result.flow.method,
        "shapes": {layer: list(one.shape) for layer, one in result.maps.items()},
    }


def _flow(result: Result) -> dict[str, Any]:
    layers = result.statistics()
    stats = {
        field: [layers[layer][field] if layer in layers else None for layer in result.maps]
        for field in _FIELDS
        if layers
    }
    return encoded.flow(list(result.maps.values())) | {"stats": stats}


def write(path: Path, told: dict[str, Any]) -> None:
    """Write the page, whole or not at all."""
    with replacing(path) as partial:
        partial.write_text(html(told), encoding="utf-8", newline="\n")


def opened(path: Path, told: dict[str, Any], explain: Callable[[PhotoFile], Results]) -> None:
    """Open the page in a browser, and explain photographs that are dropped on it until Ctrl-C. If
    there is no browser, print where the page is.

    path     the same page on disk
    told     the page's content
    explain  explains a photograph
    """

    def dropped(name: str, data: bytes) -> dict[str, Any]:
        file = PhotoFile(Path(Path(name).name or "photograph"), data)
        return picture(file.path.name, explain(file))

    with PageServer(html(told | {"explains": True}), dropped) as server:
        if not _browser(server.address):
            sys.stderr.write(f"naflow: no browser opens here; the page is {shown(path)}\n")
            return
        sys.stderr.write(
            f"naflow: {server.address} is open in your browser: drop a photograph on it. "
            "Ctrl-C ends this.\n"
        )
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            sys.stderr.write(f"\nnaflow: the page stays, without dropping, as {shown(path)}\n")


def _browser(address: str) -> bool:
    try:
        return webbrowser.open(address)
    except (webbrowser.Error, OSError):
        return False
