"""Adapters between this library and pytorch-grad-cam: what that package gets as model and score."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, Self

from torch import Tensor, nn
from torch.utils._pytree import tree_map

from naflow.errors import BadInput
from naflow.perturb.masked import rows
from naflow.scores import Score

Run = Callable[[nn.Module, Tensor], Any]


class Outputs(nn.Module):
    """The model as pytorch-grad-cam needs it: it returns a list with the output of every image.

    run  called in the model's place as run(cut, images); cut is a module that the package may
         replace
    """

    def __init__(self, model: nn.Module, run: Run | None = None) -> None:
        super().__init__()
        self.cut: nn.Module = nn.Identity()
        self.model, self.run = model, run

    def eval(self) -> Self:
        """Do nothing: the model is in evaluation mode, and a user's train() may have effects."""
        return self

    def forward(self, x: Tensor) -> list[Any]:
        output = self.model(x.clone()) if self.run is None else self.run(self.cut, x)
        return [rows(output, number, number + 1) for number in range(len(x))]


class Target:
    """A score of a batch as pytorch-grad-cam needs it: the score of one image's output.

    The output is repeated to the batch's size for the score, which may hold a class or reference
    for each image.
    """

    def __init__(self, question: Score, batch: int, number: int) -> None:
        self.question, self.batch, self.number = question, batch, number

    def __call__(self, output: object) -> Tensor:
        whole = tree_map(
            lambda v: v.expand(self.batch, *v.shape[1:]) if isinstance(v, Tensor) and v.ndim else v,
            output,
        )
        return self.question(whole)[self.number]


def of_library(kind: str) -> Any:
    """Return a class of pytorch-grad-cam. Raises BadInput if the package cannot be imported."""
    try:
        import pytorch_grad_cam
    except ImportError as error:
        raise BadInput(
            f"{kind} is computed by pytorch-grad-cam, which cannot be imported ({error}): "
            "pip install 'naflow[library]'."
        ) from error
    return getattr(pytorch_grad_cam, kind)


@contextmanager
def silent(made: object) -> Generator[None]:
    """Switch off the package's progress bars, one for every image and layer."""
    module: Any = sys.modules[type(made).__module__]
    original = module.tqdm
    module.tqdm = SimpleNamespace(tqdm=lambda steps: steps)
    try:
        yield
    finally:
        module.tqdm = original
