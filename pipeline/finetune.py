"""Fine-tune a classifier with and without masks of where it attends in hard pictures, and compare.

This is the second use of CF-CAM that its abstract names. See docs/hard-samples.md.

    python -m pipeline.finetune +finetune=shapes

Every way of training (finetune.arms, and "plain", without masks) starts from `model.weights` and
has the same number of steps; with the same seed, also the same batches and augmentations. Writes

    results/finetune/<model>.json               accuracies, differences and their intervals
    results/finetune/<model>/<arm>-<seed>.json  losses, and the misclassified test pictures
    results/finetune/<model>/hard.png           some hard pictures, masked as each arm does

A run that was killed continues: masks are computed again, finished trainings are kept.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from PIL import Image
from torch import Tensor, nn

from naflow.errors import BadInput
from pipeline import device
from pipeline.app import stage
from pipeline.atomic import replacing, write_json
from pipeline.fingerprint import of_file
from pipeline.hard_samples.attention import attended
from pipeline.hard_samples.comparison import accuracies, compared, table
from pipeline.hard_samples.course import Course
from pipeline.hard_samples.hardest import hardest, margins
from pipeline.hard_samples.views import Arm, HardViews
from pipeline.models import weights
from pipeline.models.subject import outputs
from pipeline.pictures.images import Part
from pipeline.pictures.pixels import Pixels, read

PLAIN = "plain"
SHOWN = 8  # hard pictures on the sheet


@stage
def main(cfg: DictConfig) -> None:
    """Fine-tune and compare."""
    found = finetune(cfg)
    told = table(found["before"], found["arms"], found["differences"])
    sys.stdout.write(told + "\n")


def finetune(cfg: DictConfig) -> dict:
    """Train every arm with every seed; write and return the numbers. Raises BadInput for settings
    that are missing or unusable."""
    chosen = checked(cfg)
    where = device.chosen(cfg.device)
    loaded = weights.load(cfg.model, where)
    folder, seen = instantiate(cfg.images), cfg.model.input
    classes = loaded.classes or folder.part(Part(**chosen["learns"]))[0]
    train, test = (
        read(folder.part(Part(**chosen[part]))[1], classes, seen.size, seen.fit, cfg.quiet)
        for part in ("learns", "tested")
    )
    if (train.labels < 0).any():
        raise BadInput(
            f"{cfg.model.weights} does not know every class of {folder.name!r}: train it on them, "
            "or leave them out with images.select."
        )
    known = outputs(loaded.network, train.images, seen.mean, seen.std)
    views = views_of(cfg, chosen, loaded.network, train, known)
    results = Path(cfg.results) / "finetune"
    sheet(results / cfg.model.name / "hard.png", views)
    course = Course(cfg, chosen, train, test)
    seeds = range(cfg.seed, cfg.seed + chosen["seeds"])
    right = {
        name: torch.stack([course(name, seed, one) for seed in seeds])
        for name, one in views.items()
    }
    found = {
        "model": cfg.model.name,
        "weights_sha256": of_file(cfg.model.weights),
        "settings": chosen,
        "pictures": {
            "train": len(train.ids),
            "train_wrong": int((margins(known, train.labels) < 0).sum()),
            "hard": len(hardest(known, train.labels, chosen["hard"])),
            "hard_masked": len(views[PLAIN].hard),
            "test": len(test.ids),
        },
        "before": round(course.right(loaded.network).double().mean().item(), 6),
        "arms": {name: accuracies(one) for name, one in right.items()},
        "differences": compared(right, cfg.evaluate.confidence, cfg.evaluate.resamples, cfg.seed),
    }
    write_json(results / f"{cfg.model.name}.json", found)
    return found


def views_of(
    cfg: DictConfig, chosen: dict, network: nn.Module, train: Pixels, known: Tensor
) -> dict[str, HardViews]:
    """Return the masked hard pictures of every arm. known: the network's outputs for all of
    `train`.

    A hard picture without evidence for its class has no mask and is not changed. Raises BadInput if
    that holds for all of them.
    """
    hard = hardest(known, train.labels, chosen["hard"])
    masks = attended(
        instantiate(chosen["explainer"], network),
        train.images[hard],
        train.labels[hard],
        cfg.model.input.mean,
        cfg.model.input.std,
        chosen["layer"],
        chosen["threshold"],
        quiet=cfg.quiet,
    )
    placed = masks.flatten(1).any(1)
    if not placed.any():
        raise BadInput("No hard picture has evidence for its class, so there are no masks.")
    hard, masks = hard[placed], masks[placed]
    images = train.images[hard]
    views = {PLAIN: HardViews(hard, images, 0.0)}
    for name, settings in chosen["arms"].items():
        arm = Arm(**settings)
        views[name] = HardViews(hard, arm.masked(images, masks), arm.probability)
    return views


def checked(cfg: DictConfig) -> dict:
    """Return cfg.finetune as plain values, after checking them. Raises BadInput for settings that
    cannot be used."""
    if "finetune" not in cfg:
        raise BadInput("Name the settings of conf/finetune: +finetune=shapes or +finetune=birds.")
    if cfg.model.task != weights.CLASSIFICATION:
        raise BadInput(f"{cfg.model.name} gives embeddings: only a classifier is fine-tuned here.")
    if "learns" not in cfg.recipe:
        raise BadInput(
            f"Nothing says which pictures {cfg.model.name} has learned of {cfg.images.name!r}. "
            "Name one of conf/recipe, as in recipe=shapes/resnet18, or write one."
        )
    chosen: Any = OmegaConf.to_container(cfg.finetune, resolve=True)
    if PLAIN in chosen["arms"]:
        raise BadInput(f"finetune.arms.{PLAIN}: that name is taken, it is training without masks.")
    if chosen["seeds"] < 2:
        raise BadInput(f"finetune.seeds={chosen['seeds']}: an interval needs two or more.")
    for one in chosen["arms"].values():
        Arm(**one)
    return chosen


def sheet(path: Path, views: Mapping[str, HardViews]) -> None:
    """Draw the hardest pictures, one per column, with one row for each arm's masked version."""
    rows = [torch.cat(list(one.masked[:SHOWN]), dim=2) for one in views.values()]
    with replacing(path) as partial:
        Image.fromarray(torch.cat(rows, dim=1).permute(1, 2, 0).numpy()).save(partial)


if __name__ == "__main__":
    main()
