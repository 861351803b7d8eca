"""What flows, training and judging of the paper's networks cost, for plans: conf/costs.json.

    python -m bench.costs [--models resnet18 conv64f] [--parts flows training] [--repeats 3]

On one core, in its own seconds, so that other work beside it does not count; with random weights,
two pictures at a time, in training eight. What is measured takes the place of what the file told
of the model; it keeps the rest.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from omegaconf import OmegaConf
from torch import Generator, Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from bench.flow import METHODS, in_forwards, peak_of_live_tensors, seen_data
from naflow import models
from pipeline.app import CONF
from pipeline.atomic import read_json, write_json
from pipeline.costs import FILE
from pipeline.device import autocast
from pipeline.judging.episodes import cosine, episode
from pipeline.judging.protocols import NearestNeighbours
from pipeline.learning.augment import Augmentation
from pipeline.learning.objectives import Classification
from pipeline.learning.training import OPTIMIZERS
from pipeline.pictures.images import Part
from pipeline.pictures.pixels import normalised
from pipeline.profile import shown

BATCH = 2
TRAINED = 8  # pictures of a training step
VOTED = 64  # pictures whose neighbours vote at a time, as in verify
BANK = 1_281_167, 128  # ImageNet's memory bank
NOVEL = 2958  # pictures that CUB's episodes are drawn from
SIDE = {"conv4net": 84, "conv64f": 84}  # pixels; the others are given 224

Fields = dict[str, object]


def main() -> None:
    """Measure, and write the file after every model."""
    options = _options()
    torch.set_num_threads(1)
    for name in options.models:
        found: Fields = {}
        for part in options.parts:
            found |= PARTS[part](name, options.repeats)
        told = read_json(FILE) if FILE.exists() else {}
        write_json(FILE, told | {name: told.get(name, {}) | found})
        print(name, found, flush=True)


def flows(name: str, repeats: int) -> Fields:
    """What flows of a model of naflow.models cost."""
    model, images = made(name, BATCH)
    methods, size = _methods(), images.shape[-1]
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
    return {
        "size": size,
        "gflop": round(gflop, 3),
        "speed": round(gflop / one, 1),
        "forwards": {method: round(value, 1) for method, value in forwards.items()},
        "memory": peaks,
        "maps": maps,
        "torch": torch.__version__,
    }


def training(name: str, repeats: int) -> Fields:
    """What a training step of a model costs, and how long judging it takes beside its forward
    passes."""
    model, images = made(name, TRAINED)
    judge, at_once = judging(name, model, images)
    judged, alive = 0.0, {}
    with torch.no_grad():
        alive["forward"] = peak_of_live_tensors(lambda: model(images), model, images) // TRAINED
    if judge is not None:
        forwards, _ = in_forwards(model, images, {"judge": judge}, repeats, time.process_time)
        judged = forwards["judge"] * TRAINED / at_once
        alive["judge"] = peak_of_live_tensors(lambda: judge(images), model, images)
    labels = torch.arange(TRAINED)
    objective = Classification(model, labels, images.shape[-1], head=True).train()

    def in_float32() -> None:
        F.cross_entropy(objective.head(model(images).flatten(1)), labels).backward()

    in_float32()  # makes the gradients of the weights, which are no picture's
    alive["step"] = peak_of_live_tensors(in_float32, objective, images) // TRAINED
    objective.to(memory_format=torch.channels_last)
    images = images.contiguous(memory_format=torch.channels_last)
    step = stepping(objective, images.shape[-1])
    with autocast(images.device):
        forwards, _ = in_forwards(model, images, {"step": step}, repeats, time.process_time)
    return {"step": round(forwards["step"], 1), "judge": round(judged, 4), "alive": alive}


def stepping(objective: Classification, size: int) -> Callable[[Tensor], None]:
    """A training step as the pipeline's: random views of TRAINED pictures, SGD."""
    pixels = torch.randint(0, 256, (TRAINED, 3, size, size), dtype=torch.uint8)
    optimizer = OPTIMIZERS["sgd"](objective.parameters(), lr=1e-3)
    chosen, view, generator = torch.arange(TRAINED), Augmentation(), Generator().manual_seed(0)

    def step(_: Tensor) -> None:
        views = normalised(view(pixels, size, generator) * 255, (0.5,) * 3, (0.25,) * 3)
        loss = objective(views.contiguous(memory_format=torch.channels_last), chosen)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def judging(
    name: str, model: nn.Module, images: Tensor
) -> tuple[Callable[[Tensor], Tensor] | None, int]:
    """How a network is judged beside its forward passes, None where that takes nothing; and how
    many are judged at a time, pictures or episodes."""
    if name.endswith("npid"):
        bank = F.normalize(torch.randn(BANK))
        labels, own = torch.arange(len(bank)) % 1000, torch.full((VOTED,), -1)
        queries, vote = F.normalize(torch.randn(VOTED, BANK[1])), NearestNeighbours(Part()).votes
        return lambda _: vote(queries, bank, labels, own), VOTED
    if name in SIDE:
        with torch.no_grad():
            found = model(images)
        labels, generator = torch.arange(NOVEL) % 50, Generator().manual_seed(0)

        def few_shot(_: Tensor) -> Tensor:
            drawn = episode(labels, 5, 16, generator) % len(found)
            return cosine(found[drawn[:, :1]], found[drawn[:, 1:].flatten()])

        return few_shot, 1
    return None, 1


def made(name: str, count: int) -> tuple[nn.Module, Tensor]:
    """A model of naflow.models with random weights, in eval mode, and `count` pictures for it."""
    torch.manual_seed(0)
    model, size = seen_data(models.create(name)).eval(), SIDE.get(name, 224)
    return model, torch.randn(count, 3, size, size)


PARTS: Mapping[str, Callable[[str, int], Fields]] = {"flows": flows, "training": training}


def _methods() -> list[str]:
    """Those of the paper's figures."""
    return str(OmegaConf.load(CONF / "figures.yaml").methods).split(",")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure what networks cost, for plans.")
    paper = list(shown(CONF / "profile" / "paper.yaml"))
    parser.add_argument("--models", nargs="+", choices=models.list_models(), default=paper)
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--repeats", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    main()
