"""Explain sets of pixels: a question, the picture that it is about, and the answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from naflow import Flow
from naflow.errors import BadInput, near_names
from naflow.explainer import Explainer
from naflow.metrics import empty, energy_share
from naflow.scores import PixelSet
from pipeline.pictures.pixels import normalised
from pipeline.segmentation.pixel_sets import pixel_set
from pipeline.segmentation.targets import Labelled


@dataclass(frozen=True)
class Question:
    """Why were these pixels assigned to this class?

    of       name of the class
    pixels   the kind of pixel set (see pixel_sets.py)
    part     for pixels="box": the part of the box
    picture  the picture's id; None: a typical picture of the class
    """

    of: str
    pixels: str = "class"
    part: Sequence[float] = (0, 0, 1, 1)
    picture: str | None = None


@dataclass(frozen=True)
class Answer:
    """The maps of every method for one picture of side S.

    image      (S, S, 3) in [0, 1]
    predicted  (S, S) class numbers
    region     (S, S) bool, where the class is predicted
    pixels     (S, S) bool, the explained set of pixels
    iou        intersection over union of the class in this picture, predicted and true
    maps       method -> layer -> (h, w), raw; empty if the question has no answer
    residuals  method -> layer -> relative residual of the inverse; empty for other methods
    rules      method -> layer -> inverse rule, "through ..." inside a block; likewise
    inside     method -> layer -> share of the map inside the region; None for a map of zeros
    refused    why there is no answer; "" if there is one
    """

    question: Question
    picture: str
    image: np.ndarray
    predicted: np.ndarray
    region: np.ndarray
    pixels: np.ndarray
    iou: float
    maps: Mapping[str, Mapping[str, np.ndarray]]
    residuals: Mapping[str, Mapping[str, float]]
    rules: Mapping[str, Mapping[str, str]]
    inside: Mapping[str, Mapping[str, float | None]]
    refused: str = ""


@dataclass(frozen=True)
class Examiner:
    """Answers questions by every method, at those of `layers` that it has.

    shown      N pictures with their targets
    predicted  (N, S, S) class numbers of these pictures
    methods    key -> explainer of the network
    mean, std  of the network's input
    least      least share of a typical picture that its class covers
    """

    shown: Labelled
    predicted: Tensor
    methods: Mapping[str, Explainer]
    layers: Sequence[str]
    mean: Sequence[float]
    std: Sequence[float]
    least: float

    def __call__(self, question: Question) -> Answer:
        """Answer a question. If the class is predicted nowhere, the answer says so.

        Raises BadInput for an unknown class, picture, kind of pixel set or layer.
        """
        shown = self.shown
        index = number_of(question.of, shown.classes)
        number = asked_of(question, shown, self.predicted, index, self.least)
        found = self.predicted[number]
        region, pixels = found == index, pixel_set(question.pixels, found, index, question.part)
        flows = self.flows(number, PixelSet(index, pixels)) if pixels.any() else {}
        kept = {k: [n for n in self.layers if n in flow.maps] for k, flow in flows.items()}
        stats = {k: {n: flows[k].stats[n] for n in kept[k] if n in flows[k].stats} for k in flows}
        return Answer(
            question,
            shown.pixels.ids[number],
            shown.pixels.images[number].permute(1, 2, 0).numpy() / 255,
            found.numpy(),
            region.numpy(),
            pixels.numpy(),
            float(iou_of(shown.targets[number] == index, region)),
            {k: {n: flows[k][n][0].cpu().numpy() for n in names} for k, names in kept.items()},
            {k: {n: float(one.residual[0]) for n, one in of.items()} for k, of in stats.items()},
            {k: {n: one.rule for n, one in of.items()} for k, of in stats.items()},
            {k: {n: inside(flows[k][n].cpu(), region) for n in kept[k]} for k in flows},
            "" if flows else nowhere(question, shown.pixels.ids[number]),
        )

    def flows(self, number: int, score: PixelSet) -> dict[str, Flow]:
        """Return every method's flow for picture `number`. Raises BadInput for a layer that no
        method has."""
        image = normalised(self.shown.pixels.images[number : number + 1], self.mean, self.std)
        flows = {}
        for key, method in self.methods.items():
            where = next(method.model.parameters()).device
            flows[key] = method(image.to(where), score, detail=True)
        known = list(dict.fromkeys(name for flow in flows.values() for name in flow.layers))
        for name in self.layers:
            if name not in known:
                raise BadInput(f"segment.layers: no method has {name!r}.{near_names(name, known)}")
        return flows


def nowhere(question: Question, picture: str) -> str:
    """Return why a question has no answer."""
    return (
        f"{question.of} is predicted nowhere in {picture}: the pixel set {question.pixels!r} is "
        "empty, there is nothing to explain."
    )


def number_of(name: str, classes: Sequence[str]) -> int:
    """Return the number of a class. Raises BadInput, with similar names, for an unknown one."""
    if name not in classes:
        raise BadInput(f"There is no class {name!r} to ask about.{near_names(name, classes)}")
    return classes.index(name)


def asked_of(
    question: Question, shown: Labelled, predicted: Tensor, index: int, least: float
) -> int:
    """Return the number of the picture that a question names, or of a typical one: of the pictures
    that show the class on at least a share `least` of their pixels, that with the median IoU.

    Raises BadInput for an unknown picture, and if no picture shows the class.
    """
    ids = shown.pixels.ids
    if question.picture is not None:
        if question.picture not in ids:
            raise BadInput(
                f"There is no picture {question.picture!r} to ask of."
                f"{near_names(question.picture, ids)}"
            )
        return ids.index(question.picture)
    true = shown.targets == index
    candidates = (true.flatten(1).double().mean(1) >= least).nonzero().flatten()
    if not len(candidates):
        raise BadInput(
            f"No picture shows {question.of} on {least:.0%} of its pixels: name one in "
            "segment.questions, or lower segment.least."
        )
    found = iou_of(true[candidates], predicted[candidates] == index)
    return int(candidates[found.argsort(stable=True)[(len(candidates) - 1) // 2]])


def iou_of(true: Tensor, region: Tensor) -> Tensor:
    """Return the intersection over union of masks (..., H, W) as (...,); 0 if both are empty."""
    both, either = (true & region).sum((-2, -1)), (true | region).sum((-2, -1))
    return both / either.clamp_min(1)


def inside(found: Tensor, region: Tensor) -> float | None:
    """Return the share of a map (1, h, w) inside the region; None if either is empty."""
    if not region.any() or bool(empty(found)[0]):
        return None
    return energy_share(found, region[None]).item()
