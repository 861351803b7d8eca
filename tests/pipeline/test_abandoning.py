"""Neuron abandoning: every count against Jacobians written out, and what the figure says."""

import json
from functools import partial

import pytest
import torch
from matplotlib.collections import LineCollection
from torch import nn
from torch.autograd.functional import jacobian
from torchvision.models import resnet18

from naflow import NAFlow, plot
from naflow.errors import BadInput
from naflow.reverse.record import record
from naflow.scores import ClassLogit
from pipeline import explain
from pipeline.explanations import maps
from pipeline.figures.abandoning import draw
from pipeline.figures.neurons import layer_uses
from pipeline.figures.small_network import SIGNAL, small_network, worked_example
from pipeline.figures.view import Material
from pipeline.judging.decisions import Decision
from pipeline.judging.selection import Chosen, Selection
from pipeline.models import weights

DAMPED = partial(NAFlow, preset="damped")


def recorded(network, images):
    return record(network, images, ClassLogit())


def by_hand(network, images, last):
    """Neurons, used and times of every layer up to `last`, and the links, one entry at a time."""
    values, matrices = [images], []
    for module in network:
        x = values[-1]
        matrices.append(jacobian(module, x).reshape(-1, x.numel()))
        values.append(module(x))
    alpha = torch.zeros(values[-1].numel(), dtype=torch.float64)
    alpha[values[-1].argmax()] = 1
    importance = [alpha]
    for matrix in reversed(matrices):
        importance.insert(0, matrix.T @ importance[0])
    used = [[float(a) != 0 for a in alpha] for alpha in importance]
    head = torch.eye(values[last].numel(), dtype=torch.float64)
    for matrix in matrices[last:]:
        head = matrix @ head
    rows = [*matrices[:last], head[values[-1].argmax()][None]]
    above = [*used[1 : last + 1], [True]]
    links = [
        {
            (j, i)
            for j in range(len(matrix))
            for i in range(matrix.shape[1])
            if matrix[j, i] != 0 and ends[i] and tips[j]
        }
        for matrix, ends, tips in zip(rows, used, above, strict=False)
    ]
    return used[: last + 1], links


def plane(seed):
    """A plain net on planes, with padding, strides, overlapping windows, and weights that are 0."""
    torch.manual_seed(seed)
    network = nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2, padding=1),
        nn.Conv2d(3, 4, 2, stride=2),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(4 * 2 * 1, 3),
    ).double()
    with torch.no_grad():
        network[0].weight[0] = 0
        network[3].weight[:, :, 0, 1] = 0
    return network.eval(), torch.randn(1, 2, 7, 5).double()


@pytest.mark.parametrize("seed", ["the example", 0, 1, 2])
def test_counts_are_those_of_explicit_jacobians(seed):
    if seed == "the example":
        network, images = small_network(), torch.tensor(SIGNAL).double().view(1, 1, 1, -1)
        last = 5
    else:
        (network, images), last = plane(seed), 6
    found = layer_uses(recorded(network, images))
    used, links = by_hand(network, images, last)
    assert len(found) == last + 1
    for layer, flags, pairs in zip(found, used, links, strict=True):
        assert layer.used.tolist() == flags, layer.name
        assert {(j, i) for j, i in layer.uses.nonzero().tolist()} == pairs, layer.name
        expected = {"neurons": len(flags), "used": sum(flags), "times": len(pairs)}
        assert layer.counts == expected
    some = [0 < layer.counts["used"] < layer.counts["neurons"] for layer in found]
    assert any(some)


def test_windows_that_overlap_count_a_neuron_each_time():
    """Without any abandoning, a convolution 3 wide uses an inner neuron three times."""
    network = nn.Sequential(
        nn.Conv2d(1, 1, (1, 3), bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 2)
    )
    signal, *_ = layer_uses(recorded(network.eval(), torch.rand(1, 1, 1, 6)))
    assert signal.uses.sum(0).tolist() == [1, 2, 3, 3, 2, 1]
    assert signal.counts == {"neurons": 6, "used": 6, "times": 12}


def test_the_example_shows_each_way_to_be_abandoned():
    example = worked_example(DAMPED)
    layers = {layer.use.name: layer for layer in example.layers}
    closed = layers["conv1"].activation.flatten() <= 0
    assert closed.any() and not layers["conv1"].use.used[closed].any()
    passed_over = (layers["relu1"].activation.flatten() > 0) & ~layers["relu1"].use.used
    assert passed_over.any()  # open, but no window's maximum
    assert layers["relu1"].use.counts["times"] > layers["relu1"].use.counts["used"]
    assert not layers["pool"].use.used.all()  # all that read it were closed
    assert not layers["input"].use.used.all()
    for layer in example.layers[1:]:
        assert (layer.bpfm.flatten()[~layer.use.used] == 0).all()


def test_places_are_the_middle_of_what_is_seen():
    """The positions of the signal that an output depends on, found by differentiating."""
    network, middle = small_network(), {}
    with torch.no_grad():
        for module in network:  # all windows linear, so that every position counts
            if isinstance(module, nn.Conv2d):
                module.weight.fill_(1.0)
                module.bias.fill_(1.0)
    linear = nn.Sequential(network.conv1, nn.AvgPool2d((1, 3), (1, 2)), network.conv2)
    for name, length in (("conv1", 1), ("pool", 2), ("conv2", 3)):
        seen = jacobian(linear[:length], torch.zeros(1, 1, 1, len(SIGNAL)).double())[0, 0, 0]
        spans = [row.flatten().nonzero().flatten().double() for row in seen]
        middle[name] = [float(span.mean()) for span in spans]
    places = {layer.use.name: layer.places for layer in worked_example(DAMPED).layers}
    assert {name: places[name] for name in middle} == middle
    assert places["relu2"] == places["conv2"] and places["input"] == list(range(13))


@pytest.fixture
def material(config, tmp_path):
    """resnet18 on small scenes, its first picture chosen."""
    weights.save(
        tmp_path / "weights.safetensors", "resnet18", resnet18(num_classes=2), ["cross", "disc"]
    )
    found = {}
    for method in ("gradcam", "naflow_damped"):
        cfg = config(f"method={method}", "explain.pictures=2", "explain.batch=1")
        found[method] = maps.load(explain.explain(cfg, method))
    case = found["naflow_damped"].cases[1]
    decision = Decision(case.picture, case.picture, "cross", "cross", 1.0)
    chosen = Selection("fig03", "resnet18", "the second", True, (Chosen(decision),), {"in all": 2})
    return Material(chosen, found, found)


def texts(figure):
    return [text.get_text() for ax in figure.axes for text in ax.texts]


def test_the_figure_says_what_was_counted(material):
    drawn = draw(material, [], "naflow_damped")
    words, example = texts(drawn.figure), drawn.numbers["example"]
    assert list(example) == ["input", "conv1", "relu1", "pool", "conv2", "relu2"]
    for counts in example.values():
        assert f"{counts['used']} of {counts['neurons']}" in words
        assert str(counts["times"]) in words
    lines = [c for ax in drawn.figure.axes for c in ax.collections if type(c) is LineCollection]
    dark = [len(c.get_segments()) for c in lines[1::2]]
    assert dark == [counts["times"] for counts in example.values()]
    crosses = [line for line in drawn.figure.axes[0].lines if line.get_marker() == "x"]
    abandoned = sum(counts["neurons"] - counts["used"] for counts in example.values())
    assert len(crosses) == abandoned
    stats = material.found["naflow_damped"].stats
    assert drawn.numbers["abandoned"] == {
        name: round(float(stats[name]["abandoned"][1]), 4) for name in stats
    }
    assert drawn.numbers["abandoned"]["relu"] > 0.3
    json.dumps(drawn.numbers)
    for word in ("NAFlow (damped)", "resnet18", "the second (2 in all)", "Our reading"):
        assert word in drawn.caption


def test_the_same_bytes_again(material, tmp_path):
    for ending in ("png", "pdf"):
        for name in ("first", "second"):
            plot.save(draw(material, [], "naflow_damped").figure, tmp_path / f"{name}.{ending}", 60)
        first, second = ((tmp_path / f"{n}.{ending}").read_bytes() for n in ("first", "second"))
        assert first == second


def test_other_methods_abandon_nothing_to_show(material):
    without = Material(material.selection, {"gradcam": material.found["gradcam"]}, {})
    with pytest.raises(BadInput, match="no method 'naflow_damped'"):
        draw(without, [], "naflow_damped")
