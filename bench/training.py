"""What small maps' products take off a training step: python -m bench.training [--threads 2]

A step of the pipeline's classifiers (views not included), with products and without, in turn;
medians. On a CPU alone.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from naflow import models
from pipeline.learning import small_maps
from pipeline.learning.objectives import Classification
from pipeline.learning.training import OPTIMIZERS

CASES = (("resnet18", 64), ("resnet18", 128), ("resnet50", 64), ("resnet50", 80))
CLASSES, BATCH = 12, 64


def main() -> None:
    """Print a line for each network and size."""
    parser = argparse.ArgumentParser(description="Training steps with and without products.")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for name, pixels in CASES:
        torch.manual_seed(0)
        with_them, without = compared(name, pixels, options.repeats)
        print(
            f"{name} {pixels} px: {without:.2f} s without, {with_them:.2f} s with "
            f"({with_them / without - 1:+.0%})",
            flush=True,
        )


def compared(name: str, pixels: int, repeats: int) -> tuple[float, float]:
    """Return the median seconds of a step with products, and without."""
    labels = torch.arange(BATCH) % CLASSES
    network = models.create(name, classes=CLASSES)
    objective = Classification(network, labels, pixels).train()
    objective.to(memory_format=torch.channels_last)
    optimizer = OPTIMIZERS["adamw"](objective.parameters(), lr=1e-3)
    views = torch.randn(BATCH, 3, pixels, pixels).contiguous(memory_format=torch.channels_last)
    few: int = small_maps.FEW
    seconds: dict[int, list[float]] = {few: [], 0: []}
    try:
        for run in range(repeats + 1):  # the first of each warms up
            for limit in (few, 0):
                small_maps.FEW = limit
                start = time.perf_counter()
                loss = objective(views, torch.arange(BATCH))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                if run:
                    seconds[limit].append(time.perf_counter() - start)
    finally:
        small_maps.FEW = few
    return statistics.median(seconds[few]), statistics.median(seconds[0])


if __name__ == "__main__":
    main()
