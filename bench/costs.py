"""What flows of the paper's networks cost, measured, for plans: conf/costs.json.

    python -m bench.costs [--models resnet18 conv64f] [--repeats 3]

On one core, in its own seconds, so that other work beside it does not count; with random weights,
two pictures at a time. The models that are measured take the places of what
the file told of them; it keeps the others.
"""

from __future__ import annotations

import argparse
import gc
import time
from dataclasses import asdict

import torch
from omegaconf import OmegaConf
from torch.utils.flop_counter import FlopCounterMode

from bench.flow import METHODS, in_forwards, peak_of_live_tensors, seen_data
from naflow import models
from pipeline.app import CONF
from pipeline.atomic import read_json, write_json
from pipeline.costs import FILE, Cost
from pipeline.profile import shown

BATCH = 2
SIDE = {"conv4net": 84, "conv64f": 84}  # pixels; the others are given 224


def main() -> None:
    """Measure, and write the file after every model."""
    options = _options()
    torch.set_num_threads(1)
    for name in options.models:
        found = measured(name, _methods(), options.repeats)
        told = read_json(FILE) if FILE.exists() else {}
        write_json(FILE, told | {name: asdict(found)})
        print(name, found, flush=True)


def measured(name: str, methods: list[str], repeats: int) -> Cost:
    """The cost of a model of naflow.models."""
    torch.manual_seed(0)
    model, size = seen_data(models.create(name)).eval(), SIDE.get(name, 224)
    images = torch.randn(BATCH, 3, size, size)
    with FlopCounterMode(display=False) as counted, torch.no_grad():
        model(images)
    gflop = counted.get_total_flops() / BATCH / 1e9
    explainers = {method: METHODS[method](model) for method in methods}
    maps = 0
    for explainer in explainers.values():  # warm-up
        flow = explainer(images)
        maps = max(maps, sum(one.nbytes for _, one in flow) // BATCH)
    forwards, seconds = in_forwards(model, images, explainers, repeats, time.process_time)
    del flow
    gc.collect()
    peaks = {
        method: peak_of_live_tensors(lambda e=explainer: e(images), model, images) // BATCH
        for method, explainer in explainers.items()
    }
    one = min(seconds[method] / forwards[method] for method in methods) / BATCH
    return Cost(
        size=size,
        gflop=round(gflop, 3),
        speed=round(gflop / one, 1),
        forwards={method: round(value, 1) for method, value in forwards.items()},
        memory=peaks,
        maps=maps,
        torch=torch.__version__,
    )


def _methods() -> list[str]:
    """Those of the paper's figures."""
    return str(OmegaConf.load(CONF / "figures.yaml").methods).split(",")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure what flows cost, for plans.")
    paper = list(shown(CONF / "profile" / "paper.yaml"))
    parser.add_argument("--models", nargs="+", choices=models.list_models(), default=paper)
    parser.add_argument("--repeats", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    main()
