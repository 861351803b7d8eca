"""LRP in single precision: ours and zennit's, each against its own double precision and each other.

    python -m bench.precision                       all networks, and docs/precision.md
    python -m bench.precision --models resnet18     some of them; the page stays

The networks are torchvision's with random weights. Both libraries have the same rules: z+ for
convolutions, epsilon with an epsilon of 1e-12 for linear layers, batch norms merged, no biases.
"""

from __future__ import annotations

import argparse
import copy
import platform
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from bench.rivals import TINY, outputs, zennits_layers
from bench.zoo.row import seen_data
from naflow import scores
from naflow.explainers import LRP
from naflow.explainers.rules import Rules
from pipeline.markdown import table

#: Network -> pixels -> runs, each of other weights and another image.
RUNS = {
    "resnet18": {64: 10, 224: 3},
    "resnet50": {64: 10},
    "wide_resnet50_2": {64: 5},
    "vgg16": {64: 5},
}
BOUND = 1e-4


@dataclass(frozen=True)
class Run:
    """One network and image. Differences are relative to the layer's largest value, and the largest
    of all layers: of maps (relevance summed over channels), and of single neurons.

    double    ours from zennit's, both in double precision
    single    ours from zennit's, both in single precision
    ours      ours in single precision from ours in double precision
    zennit    zennit's in single precision from zennit's in double precision
    switched  ours and zennit's neurons at the ends of blocks that are 0 in one precision and
              positive in the other
    """

    double: tuple[float, float]
    single: tuple[float, float]
    ours: tuple[float, float]
    zennit: tuple[float, float]
    switched: tuple[int, int]


def main() -> None:
    """Measure, print a line for each run, and write the page."""
    options = _options()
    torch.set_num_threads(1)
    found: dict[tuple[str, int, str], list[Run]] = {}
    for name in options.models:
        for pixels, runs in RUNS[name].items():
            for norms in NORMS if "resnet" in name else ("none",):
                for seed in range(runs):
                    model, image = drawn(name, pixels, norms, seed)
                    run = measured(model, image)
                    found.setdefault((name, pixels, norms), []).append(run)
                    print(
                        f"{name} {pixels} px, batch norms {norms}, seed {seed}: {run}", flush=True
                    )
    if set(options.models) == set(RUNS):
        options.page.write_text(page(found), encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="LRP in single precision, beside zennit's.")
    parser.add_argument("--models", nargs="+", choices=RUNS, default=list(RUNS))
    parser.add_argument("--page", type=Path, default=Path("docs/precision.md"))
    return parser.parse_args()


def random_norms(model: nn.Module, pixels: int) -> None:
    """Draw the batch norms' statistics and weights: nothing is close to 0 or trivial."""
    for norm in _norms(model):
        for name, values in norm.state_dict().items():
            if name in ("running_mean", "bias"):
                values.normal_(std=0.2)
            if name in ("running_var", "weight"):
                values.uniform_(0.5, 1.5)


def data_norms(model: nn.Module, pixels: int) -> None:
    """Give the batch norms the statistics of four random images."""
    seen_data(model, torch.randn(4, 3, pixels, pixels))


NORMS = {"random": random_norms, "of data": data_norms}


def drawn(name: str, pixels: int, norms: str, seed: int) -> tuple[nn.Module, Tensor]:
    """Return a network with random weights and an image (1, 3, pixels, pixels), in float32."""
    torch.manual_seed(seed)
    model = getattr(torchvision.models, name)().eval()
    if norms in NORMS:
        NORMS[norms](model, pixels)
    for norm in _norms(model):
        norm.eps = 0.0  # zennit applies it twice
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False  # or zennit's hooks see what is overwritten
    return model.requires_grad_(False), torch.randn(1, 3, pixels, pixels)


def _norms(model: nn.Module) -> Iterable[nn.BatchNorm2d]:
    return (module for module in model.modules() if isinstance(module, nn.BatchNorm2d))


def measured(model: nn.Module, image: Tensor) -> Run:
    """Return the differences for a network and an image in float32, of the predicted class."""
    double = copy.deepcopy(model).double()
    target = int(double(image.double()).argmax())
    ours, ends, theirs, their_ends = _explained(double, image.double(), target)
    ours_single, ends_single, theirs_single, their_ends_single = _explained(model, image, target)
    return Run(
        double=difference(ours, theirs),
        single=difference(ours_single, theirs_single),
        ours=difference(ours_single, ours),
        zennit=difference(theirs_single, theirs),
        switched=(switched(ends_single, ends), switched(their_ends_single, their_ends)),
    )


def _explained(model: nn.Module, image: Tensor, target: int) -> tuple[dict[str, Tensor], ...]:
    """Return layer -> relevance and block -> output of ours, and both of zennit's."""
    flow = LRP(model, rules=Rules(linear="epsilon", first=None, epsilon=TINY))(
        image, scores.ClassLogit(target), keep=("importance",), detail=True
    )
    modules = dict(model.named_modules())  # a block's ReLU runs several times under one name
    layers = [n for n in flow.layers if n in modules and not n.endswith(".relu")]
    blocks = [n for n in layers if isinstance(modules[n], (BasicBlock, Bottleneck))]
    start = torch.zeros_like(flow.output)
    start[0, target] = 1
    zennits, theirs = zennits_layers(model, image, layers, start, fc="epsilon")
    return (
        {name: flow.importance[name] for name in layers},
        outputs(model, blocks, lambda: model(image)),
        theirs,
        {name: zennits[name] for name in blocks},
    )


def switched(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> int:
    """Return how many neurons are positive in one and not in the other. Both: layer -> values."""
    return sum(int(((one[name] > 0) != (other[name] > 0)).sum()) for name in other)


def difference(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> tuple[float, float]:
    """Return the largest difference of maps and of neurons. Both: layer -> (1, C, h, w)."""
    maps, neurons = [], []
    for name, want in expected.items():
        have, want = found[name].double(), want.double()
        neurons.append(float((have - want).abs().max() / want.abs().max()))
        have, want = have.sum(1), want.sum(1)
        maps.append(float((have - want).abs().max() / want.abs().max()))
    return max(maps), max(neurons)


_HEAD = """# LRP in single precision

`python -m bench.precision` writes this page: naflow's LRP beside zennit {zennit}'s, on networks of
torchvision {torchvision} with random weights, one image a run, each run with other weights and
another image (Python {python}, torch {torch}, CPU, one thread). Both have the same rules: z+ for
convolutions, epsilon (1e-12) for linear layers, batch norms merged, no biases.

A cell is the median and the largest of the runs; a run's number is the largest of all layers,
relative to the layer's largest value. **Batch norms**: "random", statistics and weights are drawn;
"of data", they have the statistics of four random images. **In double**: ours from zennit's in
float64. **In single**: ours from zennit's in float32. **Ours**, **zennit's**: each in float32 from
itself in float64. **Within 1e-4**: runs in which ours, and zennit's, in float32 is within 1e-4 of
itself in float64.

**In short**, of {runs} runs: in float64 the two libraries' maps differ by at most {apart}. In
float32 ours are within 1e-4 of zennit's in {within[single]}. In float32 ours are within 1e-4 of
ours in float64 in {within[ours]}, and zennit's of zennit's in {within[zennit]}.
"""

_REASON = """## Where single precision is not enough

A residual block's sum z = a + b goes through a ReLU. Its relevance is R = c z for z > 0, and the
branches get c a and c b; for z <= 0 they get nothing. So where a and b cancel, LRP itself jumps by
c a as z passes 0, and no stabiliser can make both sides equal without changing the right result.
Rounding decides on which side float32 falls. VGG16 has no sums, so nothing jumps.

Such neurons are counted: at the ends of blocks, 0 in one precision and positive in the other.

{counts}
Of the {without} runs without one, ours differs by at most {ours}, zennit's by at most {zennit}; of
the {with_} runs with at least one, by up to {ours_with} and {zennit_with}.
"""


def page(found: Mapping[tuple[str, int, str], Sequence[Run]]) -> str:
    """Return the text of the page. found: (network, pixels, batch norms) -> runs."""
    versions = {name: version(name) for name in ("zennit", "torchvision", "torch")}
    parts = [_HEAD.format(python=platform.python_version(), **versions, **_in_short(found))]
    for at, title in enumerate(("Maps", "Single neurons")):
        parts.append(f"## {title}\n\n{_differences(found, at)}")
    heads = ("network", "px", "batch norms", "runs", "with such a neuron: ours", "zennit's")
    counts = [
        (*case, len(runs), *(sum(run.switched[of] > 0 for run in runs) for of in (0, 1)))
        for case, runs in found.items()
    ]
    parts.append(_REASON.format(counts=table(heads, counts), **_told(found)))
    return "\n".join(parts)


def _in_short(found: Mapping[tuple[str, int, str], Sequence[Run]]) -> dict[str, object]:
    runs = [run for some in found.values() for run in some]
    within = {k: sum(getattr(run, k)[0] <= BOUND for run in runs) for k in _KINDS[1:]}
    apart = f"{max(run.double[0] for run in runs):.0e}"
    return {"runs": len(runs), "apart": apart, "within": within}


def _differences(found: Mapping[tuple[str, int, str], Sequence[Run]], at: int) -> str:
    heads = ("network", "px", "batch norms", "runs", "in double", "in single", "ours", "zennit's")
    rows = []
    for case, runs in found.items():
        kinds = [[getattr(run, kind)[at] for run in runs] for kind in _KINDS]
        within = [sum(value <= BOUND for value in values) for values in kinds[2:]]
        rows.append((*case, len(runs), *map(_spread, kinds), "{}, {}".format(*within)))
    return table((*heads, "within 1e-4"), rows)


_KINDS = ("double", "single", "ours", "zennit")


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.0e}, {max(values):.0e}"


def _told(found: Mapping[tuple[str, int, str], Sequence[Run]]) -> dict[str, object]:
    """The numbers of the reason: differences of neurons in runs with and without a switched one."""
    runs = [run for some in found.values() for run in some]
    without = [run for run in runs if not any(run.switched)]
    others = [run for run in runs if any(run.switched)]

    def largest(of: Sequence[Run], kind: str) -> str:
        return f"{max((getattr(run, kind)[1] for run in of), default=0):.0e}"

    return {
        "without": len(without),
        "with_": len(others),
        "ours": largest(without, "ours"),
        "zennit": largest(without, "zennit"),
        "ours_with": largest(others, "ours"),
        "zennit_with": largest(others, "zennit"),
    }


if __name__ == "__main__":
    main()
