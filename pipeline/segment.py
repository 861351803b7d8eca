"""Stage `segment`: train a segmentation network and measure it.

    python -m pipeline.segment +segment=shapes

Writes the weights, the losses and the intersections over union, then fails if their mean is below
its gate. A run that was killed continues from its last finished epoch, and gives the same weights.
"""

from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import nn

from pipeline import device, learning, segmentation
from pipeline.app import stage
from pipeline.atomic import locked, write_json
from pipeline.fingerprint import fingerprint
from pipeline.judging import gate
from pipeline.learning.training import Phase, Schedule, Trainer
from pipeline.models import weights
from pipeline.pictures.pixels import Pixels
from pipeline.segmentation import iou
from pipeline.segmentation.network import predicted
from pipeline.segmentation.objective import Segmentation
from pipeline.segmentation.settings import labelled_part, settings
from pipeline.segmentation.views import AlignedAugmentation
from pipeline.tracking import Run, tracked


@stage
def main(cfg: DictConfig) -> None:
    """Train, then verify."""
    segment(cfg)


def segment(cfg: DictConfig) -> dict[str, Any]:
    """Train and write the weights; measure them, write the numbers, and check the gate."""
    asked = settings(cfg)
    path = Path(asked.model.weights)
    name = f"{asked.images.name}-segment-{asked.model.name}"
    with locked(path), tracked(cfg.tracking, name, cfg) as run:
        train(cfg, run)
        numbers = measured(cfg)
        run.numbers({name: numbers[name] for name in ("mean_iou", "accuracy")})
    write_json(path.with_suffix(".json"), numbers)
    subject = f"{asked.model.name} on {asked.images.name!r}"
    gate.check(numbers, asked.gate, subject, "segment")
    return numbers


def train(cfg: DictConfig, run: Run) -> None:
    """Train; write the weights and the losses."""
    asked = settings(cfg)
    path, shape = Path(asked.model.weights), asked.model.input
    shown = labelled_part(cfg, "learns")
    pixels = shown.together()
    network = begun(cfg, len(shown.classes))
    schedule: Any = OmegaConf.to_container(asked.schedule)
    phases = [Phase(**phase) for phase in schedule.pop("phases")]
    objective = Segmentation(network, pixels.labels, shape.size)
    trainer = Trainer(
        objective.to(device.chosen(cfg.device)).to(memory_format=torch.channels_last),
        Schedule(phases, **schedule),
        AlignedAugmentation(**asked.augmentation),
        [*shape.mean, 0.0],  # the fourth channel, the targets, stays as it is
        [*shape.std, 1.0],
        cfg.seed,
        path.with_suffix(".checkpoint"),
        mark(cfg, pixels),
        quiet=cfg.quiet,
        note=run.numbers,
    )
    losses = trainer(pixels)
    weights.save(path, asked.model.name, network, shown.classes)
    write_json(path.with_suffix(".losses.json"), losses)
    trainer.checkpoint.unlink()


def begun(cfg: DictConfig, classes: int) -> nn.Module:
    """Return the network before training: random weights, or an encoder with a classifier's."""
    device.seeded(cfg.seed)
    asked = settings(cfg)
    network = instantiate(asked.model.network, classes=classes)
    if asked.start:
        weights.begin_from(network.encoder, Path(asked.start), ["fc"])
    return network


def mark(cfg: DictConfig, pixels: Pixels) -> str:
    """Return the fingerprint that a checkpoint must have for training to continue from it: of
    network, schedule, seed, start, pictures with their targets, and code."""
    asked: Any = OmegaConf.to_container(settings(cfg), resolve=True)
    trains = {key: asked[key] for key in ("model", "start", "schedule", "augmentation")}
    return fingerprint(
        [trains, cfg.seed, pixels.ids],
        asked["start"] and Path(asked["start"]),
        pixels.images,
        pixels.labels,
        learning,
        segmentation,
    )


def measured(cfg: DictConfig) -> dict[str, Any]:
    """Measure the intersections over union of the stored weights on the pictures of
    `segment.test`."""
    asked = settings(cfg)
    loaded = weights.load(asked.model, device.chosen(cfg.device))
    shown = labelled_part(cfg, "test")
    shape = asked.model.input
    found = predicted(loaded.network, shown.pixels.images, shape.mean, shape.std)
    counts = iou.confusion(found, shown.targets, len(shown.classes))
    return iou.numbers(counts, shown.classes) | {"pictures": len(found)}


if __name__ == "__main__":
    main()
