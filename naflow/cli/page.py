"""The page of the command line: photographs under every method, and its browser."""

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

#: The flows of a photograph, by the names of its columns on the page.
Results = Mapping[str, Result]
_FIELDS = ("rule", "iterations", "residual", "norm_ratio", "abandoned", "stop")


def content(
    model: str, weights: Mapping[str, str | None], photos: Mapping[str, Results]
) -> dict[str, Any]:
    """What the page shows of a model: photographs by name, each with its flows."""
    first = next(iter(photos.values()))
    told = [picture(name, results) for name, results in photos.items()]
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
                    one["picture"]: {"label": None, "photograph": at} for at, one in enumerate(told)
                },
                "cases": [one["one"] for one in told],
            }
        ],
        "figures": [],
        "evaluated": {},
        "absent": {},
        "photographs": [one["photograph"] for one in told],
        "all": True,
        **appearance(),
    }


def picture(name: str, results: Results) -> dict[str, Any]:
    """One photograph: what the page is told of it, and what it is told when it was dropped."""
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
    """What the network says of a photograph, and what of it is explained."""
    predicted = next(iter(results.values())).predicted()
    explained = ", ".join(dict.fromkeys(one.said() for one in results.values()))
    return f"{predicted} Explained: {explained}." if predicted else explained


def _method(key: str, result: Result) -> dict[str, Any]:
    word = key.partition("/")[2]
    return {
        "key": key,
        "name": f"{result.flow.method}: {word}" if word else result.flow.method,
        "shapes": {layer: list(found.shape) for layer, found in result.maps.items()},
    }


def _flow(result: Result) -> dict[str, Any]:
    found = result.statistics()
    stats = {
        field: [found[layer][field] if layer in found else None for layer in result.maps]
        for field in _FIELDS
        if found
    }
    return encoded.flow(list(result.maps.values())) | {"stats": stats}


def write(path: Path, told: dict[str, Any]) -> None:
    """Write the page, whole or not at all."""
    with replacing(path) as partial:
        partial.write_text(html(told), encoding="utf-8", newline="\n")


def opened(path: Path, told: dict[str, Any], explain: Callable[[PhotoFile], Results]) -> None:
    """Open the page in a browser, and explain what is dropped on it until Ctrl-C. Without a
    browser, say where the page lies.

    path  of the same page on the disk
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
