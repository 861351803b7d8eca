"""An origin: what is known of a network before its weights are downloaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from naflow.hashes import sha256
from naflow.models import checkpoint, fit, published
from naflow.models.card import Input


@dataclass(frozen=True)
class Fetched:
    """A file of published weights on this machine. licence: "" if unknown."""

    path: Path
    address: str
    licence: str
    sha256: str

    @classmethod
    def of(cls, path: Path, address: str, licence: str) -> Fetched:
        return cls(path, address, licence, sha256(path))

    def __str__(self) -> str:
        licence = self.licence or "unknown"
        return f"{self.path.name} from {self.address}, sha256 {self.sha256}, licence: {licence}"


@dataclass(frozen=True)
class Published:
    """Published weights of a network.

    here   whether they are on this machine already
    fetch  downloads them if not, and returns the file; raises BadInput, with what to do
    load   returns the network with the weights of that file
    """

    here: bool
    fetch: Callable[[], Fetched]
    load: Callable[[Path], nn.Module]


@dataclass(frozen=True)
class Origin:
    """A network that is known by its name.

    build      builds it with random weights, for a number of classes; None: its own number
    input      its preprocessing
    classes    the class names it was published with, None if unknown
    embedding  whether its output is known to be an embedding, not classes
    published  its published weights; None if the user has to give some
    filled     builds it with a user's file of weights; None: `filled` below does
    """

    name: str
    build: Callable[[int | None], nn.Module]
    input: Input
    classes: Sequence[str] | None = None
    embedding: bool = False
    published: Published | None = None
    filled: Callable[[Path, int | None], nn.Module] | None = None

    def network(self, weights: Path | None, classes: int | None = None) -> nn.Module:
        """Return the network in evaluation mode with the weights of a user's file, or with random
        weights, which are the same every time.

        Raises BadInput for a file that is missing or damaged, holds code, or does not fit.
        """
        with torch.random.fork_rng(devices=[]):  # does not change the user's random numbers
            torch.default_generator.manual_seed(0)
            if weights is None:
                return self.build(classes).eval()
            if self.filled is not None:
                return self.filled(weights, classes).eval()
            return filled(self.build(classes), weights, self.name).eval()


def filled(network: nn.Module, weights: Path, name: str) -> nn.Module:
    """Load a file of weights, in any format that is read here, into the network and return it.

    Raises BadInput for a file that is missing or damaged, holds code, or does not fit.
    """
    if weights.suffix == ".safetensors":
        state, _ = checkpoint.load_safetensors(weights)
    else:
        state, _ = published.read(weights, "")
    advice = "For another number of classes give their names (--labels, classes=)."
    return fit.fill(network, state, weights, name, advice)
