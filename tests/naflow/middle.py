"""A network with anything in its middle, and what must hold of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from networks import randomised
from own_run import compare, own_run
from torch import Tensor, nn

from naflow import NAFlow
from naflow.explainers import LRP, HiResCAM
from naflow.run.preserve import preserved
from naflow.run.run import Run, run
from naflow.scores import ClassLogit

ONE = ClassLogit(1)
Function = Callable[["Middle", Tensor], Tensor]


class Middle(nn.Module):
    """A stem, something in the middle, and a head: three modules and a function."""

    def __init__(self, middle: Function) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.head = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 5, 3, padding=1)
        self.conv = nn.Conv2d(6, 6, 3, padding=1)
        self.norm = randomised(nn.BatchNorm2d(6))
        self.fc = nn.Linear(5, 3)
        self.middle = middle

    def forward(self, x: Tensor) -> Tensor:
        x = self.middle(self, self.stem(x))
        return self.fc(self.head(x).relu().mean((2, 3)))


def model_of(middle: Function) -> nn.Module:
    return Middle(middle).double().eval()


def recorded(model: nn.Module, x: Tensor) -> Run:
    with preserved(model):
        return run(model, x)


def right(middle: Function, x: Tensor) -> None:
    """HiResCAM at every module is that of hooks on the run."""
    model = model_of(middle)
    flow = HiResCAM(model)(x, ONE)
    compared = compare(flow, own_run(model, x, ONE), to=1e-9)
    assert compared[0] == "stem" and compared[-1] == "head"
    assert torch.equal(flow.score, model(x)[:, 1].detach())


def as_plain(middle: Function, plain: Function, x: Tensor) -> None:
    """The same maps, of every method, as of the same model written out of place."""
    right(middle, x)
    made, expected = model_of(middle), model_of(plain)
    solved = partial(NAFlow, preset="damped", tol=1e-12, max_iterations=3000)
    for kind in (HiResCAM, LRP, NAFlow, solved):
        found, wanted = kind(made)(x, ONE), kind(expected)(x, ONE)
        for layer in ("stem", "head"):
            torch.testing.assert_close(found[layer], wanted[layer], rtol=1e-6, atol=1e-9)
