"""A network small enough to draw every neuron, and the explanation of one decision."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from operator import mul

import torch
from torch import Tensor, nn

from naflow import NAFlow
from naflow.reverse.record import record
from naflow.run.cut import Unit
from naflow.scores import ClassLogit
from pipeline.figures.neurons import LayerUse, uses_of

SIGNAL = (0.1, 0.2, 0.9, 0.6, 0.3, 0.2, 0.8, 1.0, 0.5, 0.4, 0.1, 0.3, 0.2)


@dataclass(frozen=True)
class Layer:
    """One layer of C channels with w neurons each.

    places      (w,) centre of each position's receptive field, in positions of the signal
    activation, importance, bpfm  (C, 1, w); attention (1, w). The signal has no BPFM and no map
    """

    use: LayerUse
    places: list[float]
    activation: Tensor
    importance: Tensor
    bpfm: Tensor | None
    attention: Tensor | None


@dataclass(frozen=True)
class Example:
    """The layers from the signal to the last feature map, and the score."""

    layers: list[Layer]
    score: float


def small_network() -> nn.Sequential:
    """Build two one-dimensional convolutions, each with a ReLU, an overlapping max pool between
    them, and a linear classifier of two classes; float64, with fixed weights."""
    network = nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(1, 2, (1, 3)),
            relu1=nn.ReLU(),
            pool=nn.MaxPool2d((1, 3), stride=(1, 2)),
            conv2=nn.Conv2d(2, 2, (1, 3)),
            relu2=nn.ReLU(),
            average=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            classes=nn.Linear(2, 2),
        )
    ).double()
    weights = {
        "conv1.weight": [[-1.0, 0.5, 1.0], [-0.5, 1.0, -0.5]],  # a rising edge, a bump
        "conv1.bias": [0.1, 0.05],
        "conv2.weight": [
            [[-0.6, 0.9, 0.4], [0.5, -0.3, -0.4]],
            [[-0.5, 0.6, 0.2], [0.8, -0.4, -0.6]],
        ],
        "conv2.bias": [0.0, -0.2],
        "classes.weight": [[0.9, -0.4], [-0.6, 0.7]],
        "classes.bias": [0.0, 0.0],
    }
    state = network.state_dict()
    for name, values in weights.items():
        state[name].copy_(torch.tensor(values, dtype=torch.float64).view_as(state[name]))
    return network.eval()


def worked_example(method: Callable[[nn.Module], NAFlow]) -> Example:
    """Explain by `method` the class predicted for the signal, and count the neurons used."""
    network = small_network()
    signal = torch.tensor(SIGNAL, dtype=torch.float64).view(1, 1, 1, -1)
    recorded = record(network, signal, ClassLogit())
    flow = method(network)(signal, keep=("bpfm",))
    points = list(recorded.descend())[::-1]
    steps = [_step(point.unit) for point in points if point.unit is not None]
    layers = [
        Layer(
            use,
            _places(point.activation.shape[-1], step),
            point.activation[0],
            point.importance[0],
            flow.bpfm[use.name][0] if use.name in flow.bpfm else None,
            flow.maps[use.name][0] if use.name in flow.maps else None,
        )
        for use, point, step in zip(
            uses_of(points),
            points,
            accumulate([1, *steps], mul),
            strict=True,
        )
    ]
    return Example(layers, float(recorded.score))


def _step(unit: Unit) -> int:
    """Return the stride of a unit."""
    stride = unit.operation.arguments.get("stride") if unit.operation else None
    return stride[-1] if isinstance(stride, (tuple, list)) else stride or 1


def _places(width: int, step: int) -> list[float]:
    """Return the centres of a layer's positions. Nothing is padded, so they are centred on the
    signal."""
    middle = (len(SIGNAL) - 1) / 2
    return [middle + (position - (width - 1) / 2) * step for position in range(width)]
