"""`naflow explain`: explain every photo by every method; write pictures, maps and a manifest."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from naflow import __version__
from naflow.atomic import locked
from naflow.cascade import NAFlow
from naflow.cli import page
from naflow.cli.files import shown
from naflow.cli.layers import Layers, chosen
from naflow.cli.manifest import NAME, Manifest
from naflow.cli.methods import explainers
from naflow.cli.photos import PhotoFile, photo_paths
from naflow.cli.progress import Progress
from naflow.cli.question import questions
from naflow.cli.run import Run
from naflow.cli.subject import Subject, subject
from naflow.errors import BadInput, NotFinite
from naflow.explainer import Explainer
from naflow.needed import need
from naflow.scores import ClassLogit

_OPENED = 20  # photos on the page that --open shows


def explain(arguments: Namespace) -> int:
    """Explain the photos that are not done yet. Return 1 if some could not be explained, else 0.

    Raises BadInput for arguments that cannot be used, before any photo is explained.
    """
    need("PIL", "matplotlib")
    paths = photo_paths(arguments.photos)
    asked = subject(arguments)
    progress = Progress(len(paths), arguments.quiet)
    methods = explainers(arguments.method, asked.network, arguments.preset, progress.layer)
    asking = questions(methods, asked.targets)
    drawn = chosen(arguments.layers, _known_layers(asked))
    with locked(arguments.out / NAME):  # wait for another run in this folder
        manifest = Manifest(arguments.out, _head(arguments, asked, methods, list(asking), drawn))
        run = Run(asked, methods, asking, drawn, manifest, progress)
        run.all(paths, arguments.batch)
    if arguments.open:
        _open(run, paths)
    if manifest.failed:
        failed = "\n  ".join(manifest.failed)
        sys.stderr.write(f"naflow: not everything could be explained:\n  {failed}\n")
    return 1 if manifest.failed else 0


def _open(run: Run, paths: Sequence[Path]) -> None:
    """Open the page of the first photos in a browser; more photos can be dropped on it."""
    photos = {}
    for path in paths[:_OPENED]:
        try:
            photos[shown(path)] = run.of_photo(PhotoFile.read(path))
        except (BadInput, NotFinite):
            continue  # the run has reported it
    if photos:
        told = run.page(photos)
        page.write(run.manifest.folder / "index.html", told)
        page.opened(run.manifest.folder / "index.html", told, run.of_photo)


def _known_layers(asked: Subject) -> list[str]:
    """Return the names of all layers, shallow to deep. Raises UnsupportedModel if there are
    none."""
    image = torch.zeros(1, 3, asked.input.size, asked.input.size, device=asked.device)
    return [unit.layer for unit in NAFlow(asked.network).plan(image).units]


def _head(
    arguments: Namespace,
    asked: Subject,
    methods: Mapping[str, Explainer],
    asking: Sequence[str],
    drawn: Layers,
) -> dict[str, dict[str, Any]]:
    """Return all that determines the results besides the photos. A run can continue another one
    with the same head."""
    settings: dict[str, Any] = {
        "model": arguments.model,
        "weights": asked.weights,
        "classes": asked.classes,
        "methods": sorted(asking),
        "layers": drawn.said,
        "device": asked.device.type,
        "input": {
            "size": asked.input.size,
            "cut": asked.input.cut,
            "resample": asked.input.resample,
            "mean": asked.input.mean,
            "std": asked.input.std,
        },
    }
    if isinstance(asked.score, ClassLogit):
        settings["target"] = "predicted" if asked.score.index is None else asked.score.index
    if asked.targets:
        settings["target"] = {target.word: list(target.classes) for target in asked.targets}
    settings |= asked.hashes
    naflow = methods.get("naflow")
    if isinstance(naflow, NAFlow):
        knobs = {name: str(value) for name, value in asdict(naflow.config).items()}
        settings["preset"] = {"name": naflow.preset, "knobs": knobs}
    versions = {name: version(name) for name in ("torch", "numpy", "pillow", "matplotlib")}
    return {"versions": {"naflow": __version__, **versions}, "settings": settings}
