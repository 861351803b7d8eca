"""How the cost of a flow grows with the pixels and with the batch.

    python -m bench.growth [--model resnet18] [--methods naflow_damped] [--threads 2]

For each size at batch 1, and for each batch at one size, it prints seconds, forward-pass
equivalents, and milliseconds and peak of live tensors per image and 10,000 pixels, which stay
constant if growth is linear. `gain` is the images per second of the batch over those of single
images; `forward` is the same for a bare forward pass, the gain that the machine allows.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable

import torch
import torchvision
from torch import Tensor, nn

from bench.flow import METHODS, peak_of_live_tensors, seconds_of, seen_data


def main() -> None:
    """Print the table."""
    options = _options()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = seen_data(getattr(torchvision.models, options.model)()).to(device).eval()
    print(f"torch {torch.__version__}, {device}, {options.threads} threads, {options.model}")
    print(
        f"{'method':<18} {'pixels':>6} {'batch':>5} {'seconds':>8} {'forwards':>8} "
        f"{'ms a unit':>9} {'MiB a unit':>10} {'gain':>5} {'forward':>7}"
    )
    for method in options.methods:
        explainer = METHODS[method](model)
        for size in options.sizes:
            _row(method, explainer, model, torch.randn(1, 3, size, size, device=device))
        for batch in options.batches:
            images = torch.randn(batch, 3, options.size, options.size, device=device)
            _row(method, explainer, model, images)


def _row(method: str, explainer: Callable, model: nn.Module, images: Tensor) -> None:
    """Print one line. A unit is one image of 10,000 pixels."""

    def forward(images: Tensor) -> None:
        with torch.no_grad():
            model(images)

    def median(run: Callable[[Tensor], object], images: Tensor) -> float:
        run(images)  # warm-up
        return statistics.median(seconds_of(lambda: run(images), images) for _ in range(3))

    batch, size = len(images), images.shape[-1]
    flow, one = median(explainer, images), median(forward, images)
    flows = batch * median(explainer, images[:1]) if batch > 1 else flow
    ones = batch * median(forward, images[:1]) if batch > 1 else one
    peak = peak_of_live_tensors(lambda: explainer(images), model, images)
    units = batch * size**2 / 1e4
    print(
        f"{method:<18} {size:>6} {batch:>5} {flow:>8.3f} {flow / one:>8.1f} "
        f"{1e3 * flow / units:>9.2f} {peak / 2**20 / units:>10.2f} {flows / flow:>5.2f} "
        f"{ones / one:>7.2f}",
        flush=True,
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Growth of a flow's cost.")
    parser.add_argument("--model", default="resnet18")
    parser.add_argument(
        "--methods", nargs="+", choices=METHODS, default=["naflow", "naflow_damped"]
    )
    parser.add_argument("--sizes", type=int, nargs="*", default=[64, 128, 224, 320, 512])
    parser.add_argument("--batches", type=int, nargs="*", default=[1, 4, 16, 64])
    parser.add_argument("--size", type=int, default=64, help="of the images in a batch")
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()
