"""The training loop, with checkpoints between epochs."""

import io
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer
from tqdm import tqdm

from naflow.errors import BadInput, near_names
from naflow.models.checkpoint import check_archive
from pipeline.atomic import replacing
from pipeline.learning.augment import Augmentation
from pipeline.learning.objectives.objective import Objective
from pipeline.pictures.pixels import Pixels, normalised

log = logging.getLogger(__name__)

# Fused optimizers need one pass over memory: ResNet50's AdamW step takes 13 ms, not 90, on 2 cores.
OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "adamw": partial(AdamW, fused=True),
    "adam": partial(Adam, fused=True),
    "sgd": partial(SGD, momentum=0.9, fused=True),
}
Shown = Callable[[Pixels, Tensor, float, Generator], Tensor]
"""(pictures, indices of some (B,), share of steps done, generator) -> those, (B, 3, H, W) uint8"""


def at_least(low: int, name: str, value: object, kinds: tuple[type, ...] = (int,)) -> None:
    """Raise BadInput for a setting that is no number of these types, or below `low`."""
    if type(value) not in kinds or not value >= low:  # ty: ignore[unsupported-operator]
        number = "a whole number" if kinds == (int,) else "a number"
        raise BadInput(f"{name}={value!r}: it must be {number} of {low} or more.")


@dataclass(frozen=True)
class Phase:
    """Some epochs on views of `size` pixels a side; starting with small views saves time."""

    size: int
    epochs: int

    def __post_init__(self) -> None:
        for name, value in (("size", self.size), ("epochs", self.epochs)):
            at_least(1, f"schedule.phases: {name}", value)


@dataclass(frozen=True)
class Schedule:
    """Epochs, batch size, optimizer and learning rate.

    phases        in order
    batch         pictures per step; for an episodic objective, episodes
    optimizer     adamw, adam, or sgd (momentum 0.9)
    rate          the highest learning rate, reached after the share `warmup` of the steps
    milestones    shares of the steps after which the rate is divided by ten; none: it falls
                  linearly to 0
    weight_decay  of the optimizer

    Raises BadInput for a value outside its range.
    """

    phases: Sequence[Phase]
    batch: int = 64
    optimizer: str = "adamw"
    rate: float = 2e-3
    warmup: float = 0.2
    milestones: Sequence[float] = ()
    weight_decay: float = 0.05

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            raise BadInput(
                f"schedule.optimizer={self.optimizer!r}: there are {', '.join(OPTIMIZERS)}."
                f"{near_names(self.optimizer, OPTIMIZERS)}"
            )
        at_least(1, "schedule.batch", self.batch)
        for name in ("rate", "warmup", "weight_decay"):
            at_least(0, f"schedule.{name}", getattr(self, name), (int, float))
        if not self.warmup < 1:
            raise BadInput(f"schedule.warmup={self.warmup!r}: it must be a share below 1.")
        if not self.phases:
            raise BadInput("schedule.phases: there is none, and nothing to train.")

    @property
    def sizes(self) -> list[int]:
        """The views' size in every epoch."""
        return [phase.size for phase in self.phases for _ in range(phase.epochs)]

    def rate_at(self, share: float) -> float:
        """Return the learning rate after `share` (0 to 1) of all steps."""
        if share < self.warmup:
            return self.rate * (0.02 + 0.98 * share / self.warmup)
        if self.milestones:
            return self.rate * 0.1 ** sum(share >= milestone for milestone in self.milestones)
        return self.rate * (1 - share) / (1 - self.warmup)


@dataclass
class Trainer:
    """Trains `objective`, and with it its network, in place.

    `checkpoint` is written after the last epoch, and after any other if the last checkpoint is more
    than EVERY seconds old: ResNet50's takes 0.4 s to write, as long as a training step. A run with
    the same `fingerprint` continues from it and gives the same weights as an uninterrupted run,
    since an epoch's random numbers depend only on the seed and its number. A damaged checkpoint is
    reported and not used. `note` is called with the mean loss of every epoch.
    """

    EVERY: ClassVar[float] = 15.0
    DIVERGED: ClassVar[float] = 10.0  # mean loss that counts as diverged, in multiples of chance

    objective: Objective
    schedule: Schedule
    augmentation: Augmentation
    mean: Sequence[float]
    std: Sequence[float]
    seed: int
    checkpoint: Path
    fingerprint: str
    curriculum: Shown | None = None
    quiet: bool | None = None
    note: Callable[[Mapping[str, float]], None] = lambda values: None

    def __call__(self, pixels: Pixels) -> list[float]:
        """Train to the end of the schedule; return the mean loss of every epoch.

        Raises BadInput if training diverges; the last checkpoint stays.
        """
        optimizer = OPTIMIZERS[self.schedule.optimizer](
            self.objective.parameters(),
            lr=self.schedule.rate,
            weight_decay=self.schedule.weight_decay,
        )
        losses = self._resumed(optimizer)
        if not losses:
            self.objective.begin(self._first_look(pixels))
        epochs, saved = len(self.schedule.sizes), time.monotonic()
        for epoch in range(len(losses), epochs):
            losses.append(round(self._epoch(pixels, optimizer, epoch), 4))
            self._check(losses[-1], epoch)
            self.note({"loss": losses[-1], "epoch": epoch + 1})
            if epoch + 1 == epochs or time.monotonic() - saved >= self.EVERY:
                self._save(losses, optimizer)
                saved = time.monotonic()
        return losses

    def _check(self, loss: float, epoch: int) -> None:
        """Raise BadInput if the loss shows divergence: it is NaN, or far above chance."""
        chance = self.objective.chance
        if loss < self.DIVERGED * max(chance, 1.0):  # False for NaN
            return
        known = f", where knowing nothing would give {chance:.4g}" * math.isfinite(chance)
        raise BadInput(
            f"Training diverges: the mean loss of epoch {epoch + 1} is {loss:.4g}{known}. Give a "
            f"smaller rate (schedule.rate is {self.schedule.rate:g}), or a longer schedule.warmup "
            f"(it is {self.schedule.warmup:g}); of a recipe, in recipe.steps."
        )

    def _save(self, losses: list[float], optimizer: Optimizer) -> None:
        state = {
            "fingerprint": self.fingerprint,
            "losses": losses,
            "objective": self.objective.state_dict(),
            "optimizer": optimizer.state_dict(),
        }
        content = io.BytesIO()  # torch's own writer hides the reason if the disk is full
        torch.save(state, content)
        with replacing(self.checkpoint) as partial:
            partial.write_bytes(content.getbuffer())

    def _first_look(self, pixels: Pixels) -> Tensor:
        self.objective.train()
        generator = Generator().manual_seed(self.seed)
        size = self.schedule.batch
        chosen = next(iter(self.objective.batches(pixels.labels, size, generator)), None)
        if chosen is None:
            raise BadInput(
                f"schedule.batch={size} makes no batch of two or more of {len(pixels.labels)} "
                "pictures, which batch norm needs: give a larger schedule.batch, or more pictures."
            )
        return self._views(pixels, chosen, self.schedule.sizes[0], 0.0, generator)

    def _resumed(self, optimizer: Optimizer) -> list[float]:
        """Load a checkpoint with the same fingerprint, if any; return the losses of its epochs."""
        if not self.checkpoint.exists():
            return []
        try:
            state = whole(self.checkpoint)
            if state["fingerprint"] != self.fingerprint:
                return []
        except (BadInput, KeyError, TypeError) as error:
            log.warning("%s Training begins again.", error)
            return []
        self.objective.load_state_dict(state["objective"])
        optimizer.load_state_dict(state["optimizer"])
        return state["losses"]

    def _epoch(self, pixels: Pixels, optimizer: Optimizer, epoch: int) -> float:
        self.objective.train()
        sizes = self.schedule.sizes
        generator = Generator().manual_seed(self.seed * 100_003 + epoch)
        batches = list(self.objective.batches(pixels.labels, self.schedule.batch, generator))
        title = f"epoch {epoch + 1}/{len(sizes)} at {sizes[epoch]} px"
        losses = []
        for step, chosen in enumerate(tqdm(batches, desc=title, disable=self.quiet)):
            share = (epoch + step / len(batches)) / len(sizes)
            for group in optimizer.param_groups:
                group["lr"] = self.schedule.rate_at(share)
            views = self._views(pixels, chosen, sizes[epoch], share, generator)
            losses.append(self._step(views, chosen, optimizer))
        return torch.stack(losses).mean().item()

    def _views(
        self, pixels: Pixels, chosen: Tensor, size: int, share: float, generator: Generator
    ) -> Tensor:
        """Return the network's input (B, 3, size, size) for the pictures `chosen` (B,)."""
        images = pixels.images[chosen]
        if self.curriculum is not None:
            images = self.curriculum(pixels, chosen, share, generator)
        device = next(self.objective.parameters()).device
        views = self.augmentation(images.to(device), size, generator)
        return normalised(views * 255, self.mean, self.std).contiguous(
            memory_format=torch.channels_last
        )

    def _step(self, views: Tensor, chosen: Tensor, optimizer: Optimizer) -> Tensor:
        """Make one step on views of the pictures `chosen`; return the loss."""
        loss = self.objective(views, chosen.to(views.device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()


def whole(checkpoint: Path) -> dict[str, Any]:
    """Return the content of a checkpoint. Raises BadInput if the file was changed.

    The file is a zip archive; torch writes the checksums of its members, but does not check them.
    """
    try:
        check_archive(checkpoint)
        return torch.load(checkpoint, weights_only=True, map_location="cpu")
    except Exception as error:  # a damaged file can raise anything
        damaged = f"{type(error).__name__}: {error}".splitlines()[0]
        raise BadInput(f"{checkpoint} is damaged ({damaged}).") from None
