"""Stage `train`: train a network by its recipe on a folder of pictures.

python -m pipeline.train model=resnet18 images=shapes

A recipe (conf/recipe) is a start and one or more steps, each an objective with its schedule. A run
that was killed continues from its last checkpoint, and gives the same weights. If the checkpoint is
damaged, it says so and starts that step again.
"""

from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck

import naflow.models
from naflow.errors import BadInput
from pipeline import device, learning
from pipeline.app import stage
from pipeline.atomic import locked, write_json
from pipeline.fingerprint import fingerprint
from pipeline.learning.augment import Augmentation
from pipeline.learning.curriculum import Curriculum
from pipeline.learning.objectives import Objective
from pipeline.learning.training import Phase, Schedule, Trainer, at_least
from pipeline.models import weights
from pipeline.pictures.images import Part
from pipeline.pictures.pixels import Pixels, read
from pipeline.tracking import Run, tracked


@stage
def main(cfg: DictConfig) -> None:
    """Train."""
    train(cfg)


def train(cfg: DictConfig) -> None:
    """Run the recipe; write the weights and the losses."""
    if "steps" not in cfg.recipe:
        raise BadInput(
            f"There is no recipe to train {cfg.model.name} on {cfg.images.name!r}. Name one of "
            "conf/recipe, as in recipe=shapes/resnet18, or write one."
        )
    folder, recipe, path = instantiate(cfg.images), cfg.recipe, Path(cfg.model.weights)
    classes, pictures = folder.part(Part(**recipe.learns))
    names = classes if cfg.model.task == weights.CLASSIFICATION else None
    run_name, losses = f"{folder.name}-train-{cfg.model.name}", {}
    with locked(path), tracked(cfg.tracking, run_name, cfg) as run:
        network = begun(cfg, classes)
        for name, step in recipe.steps.items():
            if not isinstance(step, DictConfig):
                raise BadInput(f"recipe.steps.{name}={step}: a step has settings of its own.")
            at_least(1, f"recipe.steps.{name}.pixels", step.pixels)
            pixels = read(pictures, classes, step.pixels, recipe.fit, cfg.quiet)
            try:
                size = step.schedule.phases[-1]["size"]
            except (TypeError, AttributeError, LookupError):
                raise BadInput(
                    f"recipe.steps.{name}.schedule.phases must be a list of {{size: pixels, "
                    "epochs: number}."
                ) from None
            objective = instantiate(
                step.objective, network=network, labels=pixels.labels, size=size
            )
            losses[name] = trainer(cfg, name, objective, mark(cfg, pixels), run)(pixels)
        weights.save(path, cfg.model.name, network, names)
        write_json(path.with_suffix(".losses.json"), losses)
        for name in recipe.steps:
            checkpoint(cfg, name).unlink()


def checkpoint(cfg: DictConfig, step: str) -> Path:
    """Return the path of the checkpoint of a step of the recipe."""
    return Path(cfg.model.weights).with_suffix(f".{step}.checkpoint")


def begun(cfg: DictConfig, classes: list[str]) -> nn.Module:
    """Return the network before training: random weights, or those that the recipe starts from."""
    device.seeded(cfg.seed)
    settings = {"classes": len(classes)} if cfg.model.task == weights.CLASSIFICATION else {}
    network = instantiate(cfg.model.network, **settings)
    start: Any = cfg.recipe.start or {}
    if start.get("calm"):
        calmed(network)
    if start.get("weights"):
        weights.begin_from(network, Path(start.weights), start.without)
    return network


def calmed(network: nn.Module) -> None:
    """Initialise every residual block as its shortcut only, so that deep networks learn at once.

    Goyal et al., 2017, arXiv 1706.02677, Section 5.1: the last batch norm of a block starts at 0.
    """
    for module in network.modules():
        if isinstance(module, (BasicBlock, Bottleneck)):
            last: Any = module.bn3 if isinstance(module, Bottleneck) else module.bn2
            nn.init.zeros_(last.weight)


def trainer(cfg: DictConfig, name: str, objective: Objective, made_of: str, run: Run) -> Trainer:
    """Return the trainer of step `name` of the recipe. Raises BadInput for unusable settings."""
    settings: Any = OmegaConf.to_container(cfg.recipe.steps[name], resolve=True)
    try:
        phases = [Phase(**phase) for phase in settings["schedule"].pop("phases")]
        schedule = Schedule(phases, **settings["schedule"])
        augmentation = Augmentation(**settings["augmentation"])
        hidden = settings.get("curriculum")
        curriculum = None if hidden is None else Curriculum(**hidden)
    except (TypeError, AttributeError, KeyError) as error:
        raise BadInput(f"recipe.steps.{name} cannot be used: {error}.") from None
    return Trainer(
        objective.to(device.chosen(cfg.device)).to(memory_format=torch.channels_last),
        schedule,
        augmentation,
        cfg.model.input.mean,
        cfg.model.input.std,
        cfg.seed,
        checkpoint(cfg, name),
        made_of,
        curriculum=curriculum,
        quiet=cfg.quiet,
        note=run.numbers,
    )


def mark(cfg: DictConfig, pixels: Pixels) -> str:
    """Return the fingerprint that a checkpoint must have for training to continue from it: of
    model, recipe, seed, start, pictures and code."""
    settings: Any = OmegaConf.to_container(cfg, resolve=True)
    trains = {key: settings["recipe"].get(key) for key in ("size", "fit", "start", "steps")}
    start = (cfg.recipe.start or {}).get("weights")
    return fingerprint(
        [settings["model"], trains, cfg.seed, pixels.ids],
        start and Path(start),
        pixels.images,
        pixels.labels,
        learning,
        naflow.models,
    )


if __name__ == "__main__":
    main()
