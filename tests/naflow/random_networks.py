"""Random small CNNs: of one to three axes, with residuals, joins, reuse and in-place operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

WIDTH = 4


class Step(nn.Module):
    """One of the things that CNNs do, (B, 4, *size) -> (B, 4, *size)."""

    def __init__(self, what: str, rank: int, shared: nn.Module) -> None:
        super().__init__()
        conv, norm = getattr(nn, f"Conv{rank}d"), getattr(nn, f"BatchNorm{rank}d")
        self.conv = conv(WIDTH, WIDTH, 3, padding=1)
        self.join = conv(2 * WIDTH, WIDTH, 1)
        self.norm = norm(WIDTH)
        self.norm.running_mean.normal_()
        self.norm.running_var.uniform_(0.5, 2)
        self.shared = shared
        self.act = nn.ReLU()
        self.what, self.rank = what, rank

    def forward(self, x: Tensor) -> Tensor:
        return STEPS[self.what](self, x)


def _add_in_place(s: Any, x: Tensor) -> Tensor:
    y = s.conv(x)
    y += x
    return y


def _overwritten(s: Any, x: Tensor) -> Tensor:
    y = s.norm(x)
    F.relu_(y)
    return y


def _functional(s: Any, x: Tensor) -> Tensor:
    convolve = getattr(F, f"conv{s.rank}d")
    return convolve(x, s.conv.weight, s.conv.bias, padding=1)


def _pooled(s: Any, x: Tensor) -> Tensor:
    pooled = getattr(F, f"max_pool{s.rank}d")(x, 2, stride=1, padding=1)
    return pooled[(..., *[slice(1, None)] * s.rank)]


def _averaged(s: Any, x: Tensor) -> Tensor:
    return getattr(F, f"avg_pool{s.rank}d")(x, 3, stride=1, padding=1)


STEPS: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "conv": lambda s, x: s.conv(x),
    "conv and relu": lambda s, x: s.act(s.conv(x)),
    "functional": lambda s, x: F.relu(_functional(s, x)),
    "norm": lambda s, x: s.norm(x),
    "relu": lambda s, x: torch.relu(x),
    "leaky": lambda s, x: F.leaky_relu(x, 0.2),
    "silu": lambda s, x: F.silu(s.conv(x)),
    "residual": lambda s, x: x + s.norm(s.conv(x)).relu(),
    "add in place": _add_in_place,
    "relu in place": lambda s, x: s.conv(x).relu_(),
    "overwritten": _overwritten,
    "scaled in place": lambda s, x: s.norm(s.conv(x)).mul_(0.5).add_(0.1),
    "joined": lambda s, x: s.join(torch.cat([x, s.conv(x)], 1)),
    "gated": lambda s, x: x * torch.sigmoid(s.conv(x)),
    "twice": lambda s, x: s.act(s.conv(s.act(s.conv(x)))),
    "shared": lambda s, x: s.shared(x),
    "max pool": _pooled,
    "average": _averaged,
    "swapped halves": lambda s, x: torch.cat(x.chunk(2, 1)[::-1], 1),
    "constants": lambda s, x: (2 * x + 0.1) / 1.5,
    "dropout": lambda s, x: F.dropout(x, 0.5, s.training),
    "shape and back": lambda s, x: x.flatten(2).view(x.shape),
}  # fmt: skip


class Random(nn.Module):
    """A stem, the steps, and a head."""

    def __init__(self, rank: int, steps: list[str], flat: bool, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            conv = getattr(nn, f"Conv{rank}d")
            self.stem, shared = conv(2, WIDTH, 3, padding=1), conv(WIDTH, WIDTH, 3, padding=1)
            self.steps = nn.Sequential(*(Step(what, rank, shared) for what in steps))
            self.fc = nn.Linear(WIDTH * 4**rank if flat else WIDTH, 3)
        self.flat = flat

    def forward(self, x: Tensor) -> Tensor:
        x = self.steps(self.stem(x))
        return self.fc(x.flatten(1) if self.flat else x.flatten(2).mean(2))


def networks(most: int = 5, ranks: tuple[int, ...] = (1, 2, 3)) -> st.SearchStrategy[Random]:
    """A network in float64, with batch norms that have seen data, in a mode of its own."""
    made = st.builds(
        Random,
        st.sampled_from(ranks),
        st.lists(st.sampled_from(list(STEPS)), min_size=1, max_size=most),
        st.booleans(),
        st.integers(0, 1000),
    )
    return st.builds(lambda model, mode: model.double().train(mode), made, st.booleans())


def images_of(model: Random, count: int = 2) -> Tensor:
    """(count, 2, 4, ...) for a network."""
    rank = model.stem.weight.ndim - 2
    generator = torch.Generator().manual_seed(7)
    return torch.randn(count, 2, *[4] * rank, dtype=torch.float64, generator=generator)
