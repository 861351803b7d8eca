"""Stage `train`: train a classifier on a folder of pictures, check it, write its weights.

python -m pipeline.train model=resnet18 images=shapes
"""

import hashlib
import json
from pathlib import Path

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import nn

from naflow.errors import BadInput
from pipeline import device, weights
from pipeline.app import stage
from pipeline.atomic import write_json
from pipeline.augment import Augmentation
from pipeline.images import Folder
from pipeline.pixels import Pixels, read
from pipeline.training import Phase, Schedule, Trainer, predictions


@stage
def main(cfg: DictConfig) -> None:
    """Train."""
    train(cfg)


def train(cfg: DictConfig) -> None:
    """Train, measure and check. Weights are written only when they are as good as required."""
    if "train" not in cfg.model:
        raise BadInput(
            "This model comes with published weights: its file in conf/model has no train section."
        )
    folder = instantiate(cfg.images)
    splits = [name for name in ("train", "val", "test") if folder.splits.get(name) is not None]
    pictures = {name: folder.split(name) for name in splits}
    pixels = {
        name: read(chosen, folder.classes, cfg.model.input.size, folder.fit, cfg.quiet)
        for name, chosen in pictures.items()
    }
    path = Path(cfg.model.weights)
    network = trained(cfg, folder, pixels["train"], path.with_suffix(".checkpoint"))
    metrics = {"seed": cfg.seed, "versions": device.versions()}
    for name in splits[1:]:
        metrics[name] = measured(network, pixels[name], folder.classes, cfg)
    write_json(path.with_suffix(".json"), metrics)
    check(metrics, cfg, folder.name)
    weights.save(path, network, folder.classes)
    path.with_suffix(".checkpoint").unlink()


def trained(cfg: DictConfig, folder: Folder, pixels: Pixels, checkpoint: Path) -> nn.Module:
    """The network after the whole schedule, on its device."""
    device.seeded(cfg.seed)
    network = instantiate(cfg.model.network, num_classes=len(folder.classes))
    network = network.to(device.chosen(cfg.device), memory_format=torch.channels_last)
    schedule = dict(cfg.model.train.schedule)
    phases = [Phase(**phase) for phase in schedule.pop("phases")]
    return Trainer(
        network,
        Schedule(phases, **schedule),
        Augmentation(**cfg.model.train.augmentation),
        cfg.model.input.mean,
        cfg.model.input.std,
        cfg.seed,
        checkpoint,
        fingerprint(cfg, pixels),
        cfg.quiet,
    )(pixels)


def fingerprint(cfg: DictConfig, pixels: Pixels) -> str:
    """What a checkpoint must agree on to be gone on from: model, schedule, seed and pictures."""
    model = OmegaConf.to_container(cfg.model, resolve=True)
    digest = hashlib.sha256(json.dumps([model, cfg.seed, pixels.ids], sort_keys=True).encode())
    digest.update(pixels.images.numpy().data)
    digest.update(pixels.labels.numpy().data)
    return digest.hexdigest()


def measured(network: nn.Module, pixels: Pixels, classes: list[str], cfg: DictConfig) -> dict:
    """Accuracy over all pictures and for each class that has any, and the number of pictures."""
    right = predictions(network, pixels, cfg.model.input.mean, cfg.model.input.std) == pixels.labels
    of_class = {name: right[pixels.labels == number] for number, name in enumerate(classes)}
    return {
        "accuracy": round(right.float().mean().item(), 4),
        "pictures": len(right),
        "classes": {
            name: round(part.float().mean().item(), 4)
            for name, part in of_class.items()
            if len(part)
        },
    }


def check(metrics: dict, cfg: DictConfig, images: str) -> None:
    """Raises BadInput, with both numbers, when the test accuracy is below what is required."""
    reached, required = metrics["test"]["accuracy"], cfg.model.train.required
    if reached < required:
        raise BadInput(
            f"accuracy {reached:.3f} on the {metrics['test']['pictures']} test pictures of "
            f"{images!r} is below the required {required:.3f}: train longer "
            "(model.train.schedule), or require less (model.train.required)."
        )


if __name__ == "__main__":
    main()
