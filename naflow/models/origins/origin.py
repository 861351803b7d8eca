"""What an origin tells of a network before anything large is fetched."""

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
    """A file of published weights on this machine. licence: "" where none is told."""

    path: Path
    address: str
    licence: str
    sha256: str

    @classmethod
    def of(cls, path: Path, address: str, licence: str) -> Fetched:
        return cls(path, address, licence, sha256(path))

    def __str__(self) -> str:
        licence = self.licence or "not told"
        return f"{self.path.name} from {self.address}, sha256 {self.sha256}, licence: {licence}"


@dataclass(frozen=True)
class Published:
    """Weights that somebody has published for a network.

    here   whether they lie on this machine already
    fetch  downloads them unless they do; raises BadInput, with what to do, where that fails
    load   the network with such a file
    """

    here: bool
    fetch: Callable[[], Fetched]
    load: Callable[[Path], nn.Module]


@dataclass(frozen=True)
class Origin:
    """A network that can be had by its name.

    build      with random weights, for a number of classes, or None for its own
    input      pixels as it wants them
    classes    the class names it was published with, None where none are known
    embedding  whether its output is known to be no classes
    published  its weights; None where they have to be given
    filled     reads a user's file of weights; None: any checkpoint of its tensors
    """

    name: str
    build: Callable[[int | None], nn.Module]
    input: Input
    classes: Sequence[str] | None = None
    embedding: bool = False
    published: Published | None = None
    filled: Callable[[Path, int | None], nn.Module] | None = None

    def network(self, weights: Path | None, classes: int | None = None) -> nn.Module:
        """The network in evaluation mode, with the weights of a file of the user's; without one
        with random weights, the same every time.

        Raises BadInput for a file that is missing, damaged, holds code, or does not fit.
        """
        with torch.random.fork_rng(devices=[]):  # the random numbers of the user go on as they were
            torch.default_generator.manual_seed(0)
            if weights is None:
                return self.build(classes).eval()
            if self.filled is not None:
                return self.filled(weights, classes).eval()
            return filled(self.build(classes), weights, self.name).eval()


def filled(network: nn.Module, weights: Path, name: str) -> nn.Module:
    """The network with the tensors of a file, in any of the shapes that people keep them in.

    Raises BadInput for a file that is missing, damaged, holds code, or does not fit.
    """
    if weights.suffix == ".safetensors":
        state, _ = checkpoint.load_safetensors(weights)
    else:
        state, _ = published.read(weights, "")
    advice = "For another number of classes give their names (--labels, classes=)."
    return fit.fill(network, state, weights, name, advice)
