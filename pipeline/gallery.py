"""Stage `gallery`: draw the documentation's pictures, of a published network on real photographs.

    python -m pipeline.gallery drawings=docs/gallery

Network and photographs are those of `naflow demo`: both are installed, nothing is downloaded. Every
picture is a WebP file as wide as a page of the documentation. docs/gallery.md shows them.
"""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from omegaconf import DictConfig
from PIL import Image
from torch import nn

from naflow import NAFlow, models, plot
from naflow.atomic import replacing
from naflow.cli import pictures
from naflow.cli.demo import NETWORK, PHOTOGRAPHS, photograph
from naflow.explainer import Explainer
from naflow.methods import METHODS, Method
from naflow.models.imagenet import class_names
from naflow.models.preprocessing import normalised
from naflow.scores import ClassLogit
from pipeline.app import stage

SHOWN = (
    "naflow",
    "gradcam",
    "hirescam",
    "layercam",
    "lrp",
    "sglrp",
    "relevance_cam",
    "centre",
)
BLOCKS = slice(0, None, 2)  # every second of nine blocks, so that panels are large enough
DPI, QUALITY = 130, 82


@dataclass(frozen=True)
class Row:
    """One flow of one image.

    name    the row's label
    image   (H, W, 3) uint8
    asked   name of the class to explain; None: the predicted one
    method  makes the explainer of the network
    """

    name: str
    network: nn.Module
    image: np.ndarray
    asked: str | None = None
    method: Callable[[nn.Module], Explainer] = NAFlow

    def panels(self) -> pictures.Row:
        """Return the row's name, its image, and the overlays of some blocks, stem to head."""
        index = None if self.asked is None else class_names().index(self.asked)
        flow = self.method(self.network)(_input(self.image), ClassLogit(index))
        image = self.image / 255
        maps = {layer: flow[layer][0].cpu().numpy() for layer in flow.blocks[BLOCKS]}
        return self.name, image, {layer: plot.overlay(image, one) for layer, one in maps.items()}


@stage
def main(cfg: DictConfig) -> None:
    """Draw."""
    gallery(Path(cfg.drawings), models.create(NETWORK, models.installed(NETWORK)))


def gallery(folder: Path, network: nn.Module) -> list[Path]:
    """Draw every picture into a folder; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    return [
        draw(folder / f"{name}.webp", rows(network), title)
        for name, (title, rows) in PICTURES.items()
    ]


def draw(path: Path, rows: Sequence[Row], title: str) -> Path:
    """Draw flows of one network, one below the other; return the path."""
    with TemporaryDirectory() as made:
        drawn = Path(made) / "drawn.png"
        pictures.rows(drawn, [row.panels() for row in rows], title, dpi=DPI)
        with Image.open(drawn) as picture, replacing(path) as partial:
            picture.convert("RGB").save(partial, "webp", quality=QUALITY, method=6)
    return path


def first(network: nn.Module) -> list[Row]:
    """The first picture of the README: one image, explained for two classes."""
    pair = np.concatenate([photograph("cat"), photograph("coffee")], axis=1)
    return [Row(f"asked: {asked}", network, pair, asked) for asked in ("Egyptian cat", "espresso")]


def photographs(network: nn.Module) -> list[Row]:
    """Each photograph by the default method, for the predicted class."""
    images = {name: photograph(name) for name in PHOTOGRAPHS}
    return [Row(f"{name}: {predicted(network, one)}", network, one) for name, one in images.items()]


def either(network: nn.Module) -> list[Row]:
    """A cat and a cup of coffee side by side, explained for either class."""
    pair = np.concatenate([photograph("cat"), photograph("coffee")], axis=1)
    return [
        Row(f"{METHODS[method].label}: {asked}", network, pair, asked, METHODS[method])
        for method in ("naflow", "sglrp", "gradcam")
        for asked in ("Egyptian cat", "espresso")
    ]


def methods(network: nn.Module) -> list[Row]:
    """One photograph by several methods, and by a control that ignores it."""
    coffee = photograph("coffee")
    return [Row(titled(METHODS[name]), network, coffee, None, METHODS[name]) for name in SHOWN]


def titled(method: Method) -> str:
    """Return a method's label, with "control: " before it if it is one."""
    return f"control: {method.label}" if method.control else method.label


def limits(network: nn.Module) -> list[Row]:
    """One photograph, explained for a class that is there, for one that is not, and with a network
    that knows no class because its classifier's weights are shuffled."""
    cat, named, tested = photograph("cat"), "Egyptian cat", METHODS["naflow_tested"]
    return [
        Row(f"asked: {named}", network, cat, named),
        Row("asked: espresso", network, cat, "espresso"),
        Row(f"shuffled classifier: {named}", shuffled(network), cat, named),
        Row(f"preset tested: {named}", network, cat, named, tested),
        Row(f"tested, shuffled classifier: {named}", shuffled(network), cat, named, tested),
    ]


PICTURES: Mapping[str, tuple[str, Callable[[nn.Module], list[Row]]]] = {
    "first": ("EfficientNet-Lite0, from its stem to its head", first),
    "photographs": ("Four photographs, each explained by the class predicted", photographs),
    "either": ("Two photographs in one: asked for the cat, asked for the coffee", either),
    "methods": ("One photograph under seven methods, and a control", methods),
    "limits": ("A cat, asked for a cat, for coffee, and of a shuffled classifier", limits),
}


def shuffled(network: nn.Module, seed: int = 0) -> nn.Module:
    """Return a copy of the network whose classifier's weights are shuffled."""
    copy = deepcopy(network)
    weight = copy.get_submodule("classifier").get_parameter("weight")
    order = torch.randperm(weight.numel(), generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        weight.copy_(weight.flatten()[order].view_as(weight))
    return copy


def predicted(network: nn.Module, image: np.ndarray) -> str:
    """Return the most probable class and its probability, as text."""
    with torch.no_grad():
        probability, index = network(_input(image))[0].softmax(0).max(0)
    return f"{class_names()[int(index)]} {float(probability):.0%}"


def _input(image: np.ndarray) -> torch.Tensor:
    wanted = models.card(NETWORK).input
    return normalised([image], wanted.mean, wanted.std)


if __name__ == "__main__":
    main()
