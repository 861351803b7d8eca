"""Evaluate one picture by Quantus: a method's maps at several depths are the rows of a batch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from naflow import metrics
from naflow.errors import BadInput
from naflow.methods import METHODS
from naflow.scores import ClassLogit
from pipeline.measuring.columns import Measure

STEPS = 12  # of pixel flipping
RUNS = 32  # of faithfulness correlation


@dataclass(frozen=True)
class Test:
    """A metric of Quantus.

    metric    the name of its class
    settings  that differ from its defaults; a value "quantus.MODULE.NAME" stands for that function
    asks      whether it compares the maps with those for another class, or of another network
    nothing   its value if those maps are zero everywhere: 0 for a rank correlation, as a constant
              has no ranks; NaN for another similarity, which is undefined
    """

    measure: Measure
    metric: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    asks: bool = False
    nothing: float = 0.0


TESTS = {
    "attribution": Test(
        Measure("AttributionLocalisation", "attribution localisation"), "AttributionLocalisation"
    ),
    "rank": Test(
        Measure("RelevanceRankAccuracy", "relevance rank accuracy"), "RelevanceRankAccuracy"
    ),
    "pointing": Test(Measure("PointingGame", "pointing game"), "PointingGame"),
    "flipping": Test(Measure("PixelFlipping", "pixel flipping", -1), "PixelFlipping"),
    "correlation": Test(
        Measure("FaithfulnessCorrelation", "faithfulness correlation"),
        "FaithfulnessCorrelation",
        {"nr_runs": RUNS},
    ),
    "ssim": Test(
        Measure("RandomLogit (SSIM)", "random logit (SSIM)", -1), "RandomLogit", {}, True, np.nan
    ),
    "logit": Test(
        Measure("RandomLogit (Spearman)", "random logit (Spearman)", -1),
        "RandomLogit",
        {"similarity_func": "quantus.similarity_func.correlation_spearman"},
        True,
    ),
    "parameters": Test(
        Measure("MPRT, all layers (Spearman)", "model parameter randomisation", -1),
        "MPRT",
        {"skip_layers": True, "return_last_correlation": True},
        True,
    ),
}


def imported() -> Any:
    """Return the package. Raises BadInput if it is not installed."""
    try:
        return import_module("quantus")
    except ModuleNotFoundError as error:
        raise BadInput(
            f"This needs quantus ({error}): pip install quantus, or, outside the environment, "
            "pip install --target DIR --no-deps quantus cachetools; PYTHONPATH=DIR "
            "python -m bench.quantus ..."
        ) from None


class Remembered(nn.Module):
    """A network with a cache of its outputs: the random changes of a picture are the same for all
    methods, so each is computed once."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.known: dict[bytes, Tensor] = {}
        self.train(network.training)

    def forward(self, images: Tensor) -> Tensor:
        key = hashlib.sha256(images.cpu().numpy().tobytes()).digest()
        if key not in self.known:
            self.known[key] = self.network(images)
        return self.known[key]


@dataclass
class Subject:
    """A picture and the network that is explained on it.

    model   the network
    image   (1, 3, H, W), the network's normalised input
    mask    (H, W) bool: the object
    target  the class explained
    seed    of Quantus's random draws
    """

    model: Remembered
    image: Tensor
    mask: Tensor
    target: int
    seed: int


@dataclass
class Explained:
    """A method as Quantus calls it: row i of the result is the map of layer i.

    Quantus refuses a constant map. An empty map is replaced by a ramp, whose scores are not used.

    emptied  (rows,) whether each map of the latest result was zero everywhere
    known    target -> maps of `first`
    first    the network of the first call: the one that is not randomised
    """

    method: str
    layers: Sequence[str]
    emptied: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    known: dict[int, Tensor] = field(default_factory=dict)
    first: nn.Module | None = None

    def __call__(self, model: Remembered, inputs: Any, targets: Any, **_: Any) -> np.ndarray:
        """Return maps (rows, 1, H, W); inputs (rows, 3, H, W) repeat one picture for each layer."""
        images = torch.as_tensor(np.asarray(inputs)[:1], dtype=torch.float32)
        self.first = self.first or model
        answers = self.known if model is self.first else {}
        for target in {int(one) for one in targets} - answers.keys():
            answers[target] = self.maps(model.network, images, target)
        rows = torch.stack([answers[int(one)][row] for row, one in enumerate(targets)])
        empty = metrics.empty(rows[:, 0])
        self.emptied = empty.numpy()
        ramp = torch.linspace(0, 1, rows[0].numel()).view_as(rows[0])
        return torch.where(empty[:, None, None, None], ramp, rows).numpy()

    def maps(self, network: nn.Module, image: Tensor, target: int) -> Tensor:
        """Return (layers, 1, H, W): each map's positive part at the picture's size, maximum 1."""
        flow = METHODS[self.method](network)(
            image, ClassLogit(torch.tensor([target])), layers=list(self.layers)
        )
        maps = [_enlarged(flow[layer].detach(), image.shape[-2:]) for layer in self.layers]
        return torch.cat(maps)


def _enlarged(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    """Return maps (1, h, w) as (1, 1, H, W), each scaled alone: Quantus would scale all by one."""
    # Divide before resizing too: tiny values would underflow in the interpolation.
    maps = maps.clamp(min=0)
    maps = torch.where(maps.amax() > 0, maps / maps.amax(), 0.0)
    large = interpolate(maps[:, None], size=size, mode="bilinear", align_corners=False)
    return torch.where(large.amax() > 0, large / large.amax(), 0.0)


def judged(subject: Subject, explained: Explained) -> dict[str, np.ndarray]:
    """Return test -> Quantus's scores (layers,) of a method's maps, NaN for empty ones; and
    `empty`: 1 where the map is zero everywhere.

    `logit_empty` and `parameters_empty`: the same for the map for the other class, or of the
    randomised network.
    """
    quantus, count = imported(), len(explained.layers)
    images = subject.image.repeat(count, 1, 1, 1).numpy()
    targets = np.full(count, subject.target)
    maps = explained(subject.model, images, targets)
    empty = explained.emptied
    given = {
        "x_batch": images,
        "y_batch": targets,
        "a_batch": maps,
        "s_batch": subject.mask.numpy()[None, None].repeat(count, 0),
        "device": "cpu",
        "explain_func": explained,
    }
    with torch.no_grad():
        classes = subject.model(subject.image).shape[1]
    found: dict[str, np.ndarray] = {}
    for name, test in TESTS.items():
        metric = _metric(quantus, test, subject, classes)
        values = _values(metric, subject, given)
        if test.metric == "PixelFlipping":  # (layers, STEPS) curves
            values = np.trapezoid(values, axis=1) / (values.shape[1] - 1)
        if test.asks:
            found[f"{name}_empty"] = np.where(empty, np.nan, explained.emptied)
            values = np.where(explained.emptied, test.nothing, values)
        found[name] = np.where(empty, np.nan, values)
    return found | {"empty": empty.astype(np.float64)}


def _values(metric: Any, subject: Subject, given: Mapping[str, Any]) -> np.ndarray:
    """Return a metric's score of each row. A metric that changes the picture at random gets the
    rows one by one, so that the changes are the same for every layer and method."""
    several = len(given["x_batch"]) if type(metric).__name__ == "FaithfulnessCorrelation" else 1
    parts = []
    for number in range(several):
        rows = slice(number, number + 1) if several > 1 else slice(None)
        cut = {name: one[rows] if name.endswith("_batch") else one for name, one in given.items()}
        np.random.seed(subject.seed)  # noqa: NPY002 Quantus draws from numpy's global generator
        parts.append(np.asarray(metric(model=subject.model, **cut), np.float64))
    return np.concatenate(parts)


def _metric(quantus: Any, test: Test, subject: Subject, classes: int) -> Any:
    settings = dict(test.settings)
    for key, value in settings.items():
        if isinstance(value, str) and value.startswith("quantus."):
            module, _, name = value.removeprefix("quantus.").rpartition(".")
            settings[key] = getattr(getattr(quantus, module), name)
    if test.metric == "PixelFlipping":
        settings["features_in_step"] = subject.image.numel() // STEPS
    if test.metric == "RandomLogit":
        settings |= {"num_classes": classes, "seed": subject.seed}
    if test.metric == "MPRT":
        settings["seed"] = subject.seed
    return getattr(quantus, test.metric)(disable_warnings=True, **settings)
