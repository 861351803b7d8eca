"""Run fine-tunings that start from the same weights, and test each."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from pipeline import device, hard_samples, learning
from pipeline.atomic import locked, read_json, write_json
from pipeline.fingerprint import fingerprint
from pipeline.hard_samples.settled import Settled
from pipeline.hard_samples.views import HardViews
from pipeline.learning.augment import Augmentation
from pipeline.learning.training import Phase, Schedule, Trainer
from pipeline.models import weights
from pipeline.models.subject import outputs
from pipeline.pictures.pixels import Pixels
from pipeline.tracking import tracked


@dataclass(frozen=True)
class Course:
    """Runs fine-tunings, all from the same weights and with the same number of steps."""

    cfg: DictConfig
    chosen: Mapping[str, Any]
    train: Pixels
    test: Pixels

    def __call__(self, arm: str, seed: int, views: HardViews) -> Tensor:
        """Return which test pictures, (T,) bool, the network trained with this arm and seed
        classifies correctly."""
        path = Path(self.cfg.results) / "finetune" / self.cfg.model.name / f"{arm}-{seed}.json"
        mark = self.mark(seed, views)
        with locked(path):
            done = kept(path)
            if done.get("fingerprint") != mark:
                done = self.trained(arm, seed, views, mark, path)
        return torch.tensor([key not in set(done["wrong"]) for key in self.test.ids])

    def trained(self, arm: str, seed: int, views: HardViews, mark: str, path: Path) -> dict:
        """Train; write the result to `path` and return it."""
        where, cfg = device.chosen(self.cfg.device), self.cfg
        schedule = dict(self.chosen["schedule"])
        phases = [Phase(**phase) for phase in schedule.pop("phases")]
        network = weights.load(cfg.model, where).network
        objective = Settled(
            network, self.train.labels, phases[-1].size, smoothing=self.chosen["smoothing"]
        )
        with tracked(cfg.tracking, f"finetune-{cfg.model.name}-{arm}-{seed}", cfg) as run:
            trainer = Trainer(
                objective.to(where).to(memory_format=torch.channels_last),
                Schedule(phases, **schedule),
                Augmentation(**self.chosen["augmentation"]),
                cfg.model.input.mean,
                cfg.model.input.std,
                seed,
                path.with_suffix(".checkpoint"),
                mark,
                curriculum=views,
                quiet=cfg.quiet,
                note=run.numbers,
            )
            losses = trainer(self.train)
            right = self.right(network)
            run.numbers({"top1": right.double().mean().item()})
        wrong = [
            key for key, is_right in zip(self.test.ids, right.tolist(), strict=True) if not is_right
        ]
        done = {"fingerprint": mark, "losses": losses, "wrong": wrong}
        write_json(path, done)
        trainer.checkpoint.unlink()
        return done

    def right(self, network: torch.nn.Module) -> Tensor:
        """Return which test pictures a network classifies correctly, (T,) bool."""
        seen = self.cfg.model.input
        found = outputs(network, self.test.images, seen.mean, seen.std)
        return found.argmax(1) == self.test.labels

    def mark(self, seed: int, views: HardViews) -> str:
        """Return the fingerprint of all that goes into a training and its test; a stored result
        with another one is out of date."""
        model: Any = OmegaConf.to_container(self.cfg.model, resolve=True)
        trains = {key: self.chosen[key] for key in ("schedule", "augmentation", "smoothing")}
        return fingerprint(
            [model, trains, seed, views.probability, self.train.ids, self.test.ids],
            Path(self.cfg.model.weights),
            *(self.train.images, self.train.labels, self.test.images, self.test.labels),
            *(views.hard, views.masked),
            learning,
            hard_samples,
        )


def kept(path: Path) -> dict:
    """Return what a training has written to `path`; {} if there is nothing, or it is unreadable."""
    try:
        return dict(read_json(path))
    except (FileNotFoundError, ValueError, TypeError):
        return {}
