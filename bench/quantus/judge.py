"""One picture before Quantus: the maps of a method at several depths are the rows of a batch."""

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
    settings  where they are not its defaults; a value that begins with "quantus." is looked up
    asks      whether it compares the maps to those for another class, or of another network
    nothing   what it says where these are zero everywhere: a constant has no ranks, and correlates
              by 0; of another likeness nothing is known
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
    """The package. Raises BadInput where it is not installed."""
    try:
        return import_module("quantus")
    except ModuleNotFoundError as error:
        raise BadInput(
            f"This needs quantus ({error}): pip install quantus, or, outside the environment, "
            "pip install --target DIR --no-deps quantus cachetools; PYTHONPATH=DIR "
            "python -m bench.quantus ..."
        ) from None


class Remembered(nn.Module):
    """A network that gives what it gave before: the random changes of a picture are the same for
    all methods, and the network need not see them again."""

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
    """A picture before a network.

    model   the network
    image   (1, 3, H, W) as the network is given it
    mask    (H, W) bool: the object
    target  the class explained
    seed    of all that Quantus draws
    """

    model: Remembered
    image: Tensor
    mask: Tensor
    target: int
    seed: int


@dataclass
class Explained:
    """A method as Quantus calls it: row i of the answer is the map of layer i.

    Quantus refuses a map that is the same everywhere. In place of an empty one it gets a ramp, and
    what it says of that is not used.

    emptied  of the latest answer: (rows,) whether the map is zero everywhere
    known    target -> maps of the network that was explained first, the intact one
    """

    method: str
    layers: Sequence[str]
    emptied: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    known: dict[int, Tensor] = field(default_factory=dict)
    first: nn.Module | None = None

    def __call__(self, model: Remembered, inputs: Any, targets: Any, **_: Any) -> np.ndarray:
        """(rows, 1, H, W); inputs (rows, 3, H, W) are one picture repeated, a row a layer."""
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
        """(layers, 1, H, W): each map's positive part, as large as the picture, 1 at its most."""
        flow = METHODS[self.method](network)(
            image, ClassLogit(torch.tensor([target])), layers=list(self.layers)
        )
        maps = [_enlarged(flow[layer].detach(), image.shape[-2:]) for layer in self.layers]
        return torch.cat(maps)


def _enlarged(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    """Maps (1, h, w) as (1, 1, H, W). Each has its own scale: Quantus would give all rows one."""
    # Divided first: what is tiny would vanish between two of its pixels.
    maps = maps.clamp(min=0)
    maps = torch.where(maps.amax() > 0, maps / maps.amax(), 0.0)
    large = interpolate(maps[:, None], size=size, mode="bilinear", align_corners=False)
    return torch.where(large.amax() > 0, large / large.amax(), 0.0)


def judged(subject: Subject, explained: Explained) -> dict[str, np.ndarray]:
    """Test -> (layers,) what Quantus says of a method's maps, and `empty`: 1 for one that is zero
    everywhere. It points nowhere: NaN in all tests.

    `logit_empty`, `parameters_empty`: 1 where the map for the other class, or of the random
    network, is.
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
    """What a metric says of every row. A metric that draws changes of the picture gets the rows one
    by one: so they are the same changes for every layer and method."""
    several = len(given["x_batch"]) if type(metric).__name__ == "FaithfulnessCorrelation" else 1
    parts = []
    for number in range(several):
        rows = slice(number, number + 1) if several > 1 else slice(None)
        cut = {name: one[rows] if name.endswith("_batch") else one for name, one in given.items()}
        np.random.seed(subject.seed)  # noqa: NPY002 Quantus draws from numpy's one generator
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
