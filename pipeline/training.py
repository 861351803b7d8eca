"""The training loop: a network, pixels, a schedule, and a checkpoint after every epoch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from tqdm import tqdm

from pipeline.atomic import replacing
from pipeline.augment import Augmentation
from pipeline.device import autocast
from pipeline.pixels import Pixels, normalised


@dataclass(frozen=True)
class Phase:
    """Some epochs on views of `size` pixels a side; small ones first cost little, teach much."""

    size: int
    epochs: int


@dataclass(frozen=True)
class Schedule:
    """AdamW; the rate rises to `rate` over the `warmup` share of the steps, then falls to 0."""

    phases: Sequence[Phase]
    batch: int = 64
    rate: float = 2e-3
    warmup: float = 0.2
    weight_decay: float = 0.05
    smoothing: float = 0.1

    @property
    def sizes(self) -> list[int]:
        """The view size of every epoch."""
        return [phase.size for phase in self.phases for _ in range(phase.epochs)]

    def rate_at(self, share: float) -> float:
        """The learning rate after `share` (0 to 1) of all steps."""
        if share < self.warmup:
            return self.rate * (0.02 + 0.98 * share / self.warmup)
        return self.rate * (1 - share) / (1 - self.warmup)


@dataclass
class Trainer:
    """Trains `network` in place on `pixels`.

    `checkpoint` is written after each epoch. A run with the same `fingerprint` goes on from it
    and ends with the weights that an uninterrupted run gives: every epoch's chance depends on the
    seed and its number.
    """

    network: nn.Module
    schedule: Schedule
    augmentation: Augmentation
    mean: Sequence[float]
    std: Sequence[float]
    seed: int
    checkpoint: Path
    fingerprint: str
    quiet: bool | None = None

    def __call__(self, pixels: Pixels) -> nn.Module:
        """Train to the end of the schedule; returns the network in eval mode."""
        optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=self.schedule.rate,
            weight_decay=self.schedule.weight_decay,
        )
        sizes = self.schedule.sizes
        for epoch in range(self._resumed(optimizer), len(sizes)):
            self._epoch(pixels, optimizer, epoch, sizes)
            state = {
                "fingerprint": self.fingerprint,
                "epoch": epoch + 1,
                "network": self.network.state_dict(),
                "optimizer": optimizer.state_dict(),
            }
            with replacing(self.checkpoint) as partial:
                torch.save(state, partial)
        return self.network.eval()

    def _resumed(self, optimizer: torch.optim.Optimizer) -> int:
        """The first epoch to run: 0, or where a run of the same fingerprint stopped."""
        if not self.checkpoint.exists():
            return 0
        state = torch.load(self.checkpoint, weights_only=True, map_location="cpu")
        if state["fingerprint"] != self.fingerprint:
            return 0
        self.network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        return state["epoch"]

    def _epoch(
        self, pixels: Pixels, optimizer: torch.optim.Optimizer, epoch: int, sizes: list[int]
    ) -> None:
        self.network.train()
        device = next(self.network.parameters()).device
        generator = Generator().manual_seed(self.seed * 100_003 + epoch)
        batches = list(_batches(len(pixels.labels), self.schedule.batch, generator))
        bar = tqdm(
            batches, desc=f"epoch {epoch + 1}/{len(sizes)} at {sizes[epoch]} px", disable=self.quiet
        )
        for step, chosen in enumerate(bar):
            for group in optimizer.param_groups:
                group["lr"] = self.schedule.rate_at((epoch + step / len(batches)) / len(sizes))
            views = self.augmentation(pixels.images[chosen].to(device), sizes[epoch], generator)
            views = normalised(views * 255, self.mean, self.std).contiguous(
                memory_format=torch.channels_last
            )
            with autocast(device):
                logits = self.network(views)
            loss = F.cross_entropy(
                logits.float(),
                pixels.labels[chosen].to(device),
                label_smoothing=self.schedule.smoothing,
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            bar.set_postfix(loss=f"{loss.item():.3f}")


def _batches(count: int, size: int, generator: Generator) -> Iterator[Tensor]:
    """Shuffled indices in batches of `size`, without a last batch of one: batch norm needs two."""
    for chosen in torch.randperm(count, generator=generator).split(size):
        if len(chosen) > 1:
            yield chosen


@torch.no_grad()
def predictions(
    network: nn.Module, pixels: Pixels, mean: Sequence[float], std: Sequence[float], batch: int = 64
) -> Tensor:
    """The predicted class (N,) of every picture, in float32."""
    device = next(network.parameters()).device
    network.eval()
    found = [
        network(normalised(part.to(device), mean, std)).argmax(1).cpu()
        for part in pixels.images.split(batch)
    ]
    return torch.cat(found)
