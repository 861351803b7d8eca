"""`naflow demo`: a published network on photographs, in one picture and on a page.

It shows a cat explained by three methods, and a cat and a cup of coffee side by side, explained for
each of the two classes. Network and photographs are installed by the extra demo; nothing is
downloaded.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from time import monotonic

import numpy as np
import torch
from torch import nn

from naflow import models, plot
from naflow.atomic import replacing
from naflow.cli import page, pictures
from naflow.cli.files import shown
from naflow.cli.labels import classes_called
from naflow.cli.layers import Layers
from naflow.cli.photos import PhotoFile, square
from naflow.cli.question import Question, Target
from naflow.cli.results import Result
from naflow.errors import BadInput
from naflow.explainer import Explainer
from naflow.methods import METHODS as NAMED
from naflow.methods import label
from naflow.models.imagenet import class_names
from naflow.models.origins import origin
from naflow.models.preprocessing import normalised
from naflow.models.pretrained import trained
from naflow.needed import need
from naflow.scores import ClassLogit

NETWORK = "efficientnet_lite0"
METHODS: dict[str, Callable[[nn.Module], Explainer]] = {
    name: NAMED[name] for name in ("naflow", "gradcam", "sglrp")
}
DPI = 120  # the picture is as wide as a page on a screen
ASKED = ("Egyptian cat", "espresso")


@dataclass(frozen=True)
class Photograph:
    """A photograph of scikit-image, with its author and licence."""

    file: str
    author: str
    licence: str

    @property
    def path(self) -> Path:
        """The path of the installed file. Raises BadInput if scikit-image is not installed."""
        package = find_spec("skimage")
        if package is None or package.origin is None:
            raise BadInput(
                f"{self.file} comes with scikit-image, which is not installed: "
                "pip install 'naflow[demo]'."
            )
        return Path(package.origin).parent / "data" / self.file


PHOTOGRAPHS = {
    "cat": Photograph("chelsea.png", "Stéfan van der Walt", "CC0"),
    "coffee": Photograph("coffee.png", "Rachel Michetti", "CC0"),
    "astronaut": Photograph("astronaut.png", "NASA", "public domain"),
    "rocket": Photograph("rocket.jpg", "SpaceX", "public domain"),
}


def demo(arguments: Namespace) -> int:
    """Write the picture and the page to a folder, print their paths, and open the page."""
    need("PIL", "matplotlib", "torchvision", extra="demo")
    network, weights = trained(origin(NETWORK))
    path = draw(network, arguments.out, quiet=arguments.quiet)
    sys.stdout.write(f"{shown(path.absolute())}\n")
    methods = {name: method(network) for name, method in METHODS.items()}

    def results(file: PhotoFile) -> dict[str, Result]:
        return {name: _result(one, file) for name, one in methods.items()}

    photos = {
        name: results(PhotoFile(PHOTOGRAPHS[name].path, PHOTOGRAPHS[name].path.read_bytes()))
        for name in ("cat", "coffee")
    }
    told = page.content(NETWORK, {"sha256": weights.sha256}, photos)
    path = arguments.out / "index.html"
    page.write(path, told)
    sys.stdout.write(f"{shown(path.absolute())}\n")
    sys.stdout.flush()
    if not arguments.no_open:
        page.opened(path, told, results)
    return 0


def draw(network: nn.Module, folder: Path, quiet: bool = False) -> Path:
    """Write flow.png, and the raw maps as flow.npz, to a folder; return the picture's path."""
    cat, coffee = (photograph(name) for name in ("cat", "coffee"))
    pair = np.concatenate([cat, coffee], axis=1)
    began, rows, raw = monotonic(), [], {}
    made = {name: method(network) for name, method in METHODS.items()}
    questions = [("cat", cat, None), *(("cat and coffee", pair, word) for word in ASKED)]
    count = len(made) * len(questions)
    for name, explainer in made.items():
        for title, image, word in questions:
            if not quiet:
                step = f"{len(rows) + 1} of {count}, {title}, {word or 'predicted'}, {label(name)}"
                sys.stderr.write(f"naflow: {step} ({monotonic() - began:.0f} s)\n")
            maps = _maps(explainer, network, image, word)
            short = label(name).partition(" (")[0]
            rows.append((f"{short}: {word}" if word else explainer.name, image / 255, maps))
            raw |= {f"{title}/{word or 'predicted'}/{name}/{at}": one for at, one in maps.items()}
    drawn = [
        (name, image, {at: plot.overlay(image, one) for at, one in maps.items()})
        for name, image, maps in sorted(rows, key=lambda row: row[1].shape[1])
    ]
    with replacing(folder / "flow.npz") as partial, partial.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **raw)
    with replacing(folder / "flow.png") as partial:
        title = "Where EfficientNet-Lite0 looked, block by block, on its way to its decision"
        shown_images = {"Cat": cat, "Coffee": coffee, "Side by side": pair}
        pictures.rows(partial, drawn, title, caption(network, shown_images), DPI)
    return folder / "flow.png"


def photograph(name: str) -> np.ndarray:
    """Return the largest central square of a photograph, (224, 224, 3) uint8."""
    path = PHOTOGRAPHS[name].path
    return square(PhotoFile(path, path.read_bytes()), models.card(NETWORK).input)


def caption(network: nn.Module, images: Mapping[str, np.ndarray]) -> str:
    """Return the caption of the picture: predictions, authors and licences, and the colours."""
    predicted = "; ".join(f"{name}: {_predicted(network, one)}" for name, one in images.items())
    whose = " and ".join(
        f"{PHOTOGRAPHS[name].author} ({name}, {PHOTOGRAPHS[name].licence})"
        for name in ("cat", "coffee")
    )
    return (
        "The cat above is explained for the class predicted, the pictures side by side once for "
        f"{ASKED[0]!r} and once for {ASKED[1]!r}, each contrasted with all other classes.\n"
        f"Predicted. {predicted}.\n"
        f"{plot.CONVENTION}\n"
        f"Photographs by {whose}; network by Tan and Le, Google (Apache-2.0)."
    )


def _maps(
    explainer: Explainer, network: nn.Module, image: np.ndarray, word: str | None
) -> dict[str, np.ndarray]:
    """Return the raw map (h, w) of each block, for a class or, if word is None, the predicted
    one."""
    names, images = class_names(), _input(image)
    score = ClassLogit()
    if word is not None:
        target = Target(word, tuple(classes_called(word, names, len(names))))
        score = Question("", target, contrasted=True).score(explainer, network, images)
    flow = explainer(images, score)
    return {layer: flow[layer][0].cpu().numpy() for layer in flow.blocks}


def _result(explainer: Explainer, file: PhotoFile) -> Result:
    """Explain a photograph for its predicted class, block by block."""
    seen = square(file, models.card(NETWORK).input)
    flow = Layers(None, blocks=True).flow(explainer, _input(seen), ClassLogit())
    return Result(flow, 0, seen, ClassLogit(), class_names())


def _input(image: np.ndarray) -> torch.Tensor:
    wanted = models.card(NETWORK).input
    return normalised([image], wanted.mean, wanted.std)


def _predicted(network: nn.Module, image: np.ndarray, most: int = 5) -> str:
    """Return the most probable classes with their probabilities, as text."""
    with torch.no_grad():
        probability = network(_input(image))[0].softmax(0)
    names = class_names()
    order = probability.argsort(descending=True, stable=True)[:most].tolist()
    return ", ".join(f"{names[i]} {float(probability[i]):.1%}" for i in order)
