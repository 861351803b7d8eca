"""Compare the paper's inversion of AlexNet, matrix-free and with dense Jacobians.

    python -m bench.dense [--sizes 64 96 128] [--threads 2]

Both use the preset "paper" in double precision to 1e-8, with the same units, equations and right-
hand sides. One forms each unit's Jacobian and solves with LAPACK (gelsy), the other uses only
products. It prints the time of a flow, the bytes of the largest Jacobian and of the peak of live
tensors, and how far the maps differ.
"""

from __future__ import annotations

import argparse
import time

import torch
import torchvision
from torch import Tensor

from bench.flow import peak_of_live_tensors
from naflow import NAFlow
from naflow.inverses import ForwardUnit, Inverse, rule_for
from naflow.inverses.inverse import closed_form
from naflow.linalg import Solution
from naflow.presets import InverseConfig
from naflow.run.cut import Unit


class Dense(Inverse):
    """Inverts with a dense Jacobian what the library inverts by iterations; one image only."""

    description = "least squares (dense Jacobian)"

    def __init__(self) -> None:
        self.largest = 0  # bytes of a whole Jacobian; only the rows kept are formed

    def matches(self, unit: Unit) -> bool:
        return rule_for(unit).iterative

    def __call__(self, unit: ForwardUnit, target: Tensor, config: InverseConfig) -> Solution:
        x, outputs = unit.input, unit.output.numel()
        with torch.no_grad():
            offset = unit(torch.zeros_like(x))
        self.largest = max(self.largest, outputs * x.numel() * x.element_size())
        kept = torch.arange(outputs) < x.numel()  # the first n equations
        if unit.kept is not None:
            kept &= unit.kept.flatten()
        matrix = _rows(unit, x, kept.nonzero()[:, 0])
        wanted = (target - offset).flatten()[kept, None]
        solution = torch.linalg.lstsq(matrix, wanted, rcond=1e-12, driver="gelsy").solution
        return closed_form(solution.reshape(x.shape))


def _rows(unit: ForwardUnit, x: Tensor, rows: Tensor) -> Tensor:
    """Return these rows of the unit's Jacobian at x, (rows, n)."""
    y, vjp = torch.func.vjp(unit, x)[:2]
    matrix = x.new_empty(len(rows), x.numel())
    for start in range(0, len(rows), 256):
        part = rows[start : start + 256]
        chosen = torch.zeros(len(part), y.numel(), dtype=y.dtype)
        chosen[torch.arange(len(part)), part] = 1
        (products,) = torch.func.vmap(vjp)(chosen.view(-1, *y.shape))
        matrix[start : start + len(part)] = products.detach().flatten(1)
    return matrix


def main() -> None:
    """Print the table."""
    options = _options()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    model = torchvision.models.alexnet().double().eval()
    print(f"torch {torch.__version__}, {options.threads} threads, float64, batch 1")
    print(
        f"{'pixels':>6} {'dense, s':>9} {'largest J':>10} {'ours, s':>8} {'peak':>9} "
        f"{'time':>6} {'bytes':>6} {'maps differ':>11}"
    )
    for size in options.sizes:
        images = torch.randn(1, 3, size, size, dtype=torch.float64)
        ours = NAFlow(model, "paper")
        found, seconds = timed(ours, images)
        peak = peak_of_live_tensors(lambda e=ours, i=images: e(i), model, images)
        line = f"{size:>6} {{}} {{}} {seconds:>8.2f} {peak / 2**20:>5.0f} MiB {{}} {{}} {{}}"
        if size > options.largest:
            blank = "-".rjust
            print(line.format(blank(9), blank(10), blank(6), blank(6), blank(11)), flush=True)
            continue
        rule = Dense()
        wanted, dense = timed(NAFlow(model, "paper", rules=[rule]), images)
        apart = max(
            float((found[layer] - wanted[layer]).abs().max() / wanted[layer].abs().max())
            for layer in found.layers
        )
        print(
            line.format(
                f"{dense:>9.1f}",
                f"{rule.largest / 2**20:>6.0f} MiB",
                f"{dense / seconds:>5.0f}x",
                f"{rule.largest / peak:>5.0f}x",
                f"{apart:>11.1g}",
            ),
            flush=True,
        )


def timed(explainer: NAFlow, images: Tensor) -> tuple:
    """Return the flow and the seconds it took."""
    start = time.perf_counter()
    flow = explainer(images)
    return flow, time.perf_counter() - start


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare matrix-free and dense inversion.")
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 96, 128, 224])
    parser.add_argument("--largest", type=int, default=128, help="largest size inverted densely")
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()
