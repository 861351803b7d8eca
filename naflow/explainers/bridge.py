"""Between this library and pytorch-grad-cam: what that one is given for a model and a score."""

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
    """What the library takes for the model: the output of every image by itself, in a list.

    run  what is run instead of the model, called with cut, a place where a layer can be put
    """

    def __init__(self, model: nn.Module, run: Run | None = None) -> None:
        super().__init__()
        self.cut: nn.Module = nn.Identity()
        self.model, self.run = model, run

    def eval(self) -> Self:
        """Nothing: it is in evaluation mode, and a user's train() may have effects."""
        return self

    def forward(self, x: Tensor) -> list[Any]:
        output = self.model(x.clone()) if self.run is None else self.run(self.cut, x)
        return [rows(output, number, number + 1) for number in range(len(x))]


class Target:
    """A score of a batch, as the library asks it: of one output, for the image of that number.

    The score sees the output once for each image of the batch, as it may hold a class or reference
    for each.
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
    """A class of the package. Raises BadInput where that is missing."""
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
    """Without the library's progress bars, one for every image and layer."""
    module: Any = sys.modules[type(made).__module__]
    found = module.tqdm
    module.tqdm = SimpleNamespace(tqdm=lambda steps: steps)
    try:
        yield
    finally:
        module.tqdm = found
