"""Grad-CAM and its kin for segmentation, at every layer of encoder and decoder.

The score is scores.PixelSet: the sum of a class's logits over a set of pixels. Sets are boolean
masks; scores.PixelSet(c) alone takes the pixels predicted as c, the builders below the others.

The long skips of a U-Net leave few values through which all data flow, so the layers here are the
modules that return a feature map, from hooks, not the cut points of a chain.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._pytree import tree_leaves

from naflow.chain import Chain, ChainCache
from naflow.errors import BadInput
from naflow.explainers.cam import CAM, GradCAM, HiResCAM
from naflow.inputs import check_images
from naflow.record import Record
from naflow.scores import Score
from naflow.units import Unit


@dataclass
class _Made:
    """What a module returned, the copy that the rest of the model reads, and that copy's state."""

    name: str
    module: nn.Module
    output: Tensor
    copy: Tensor
    version: int


class ModuleChain(Chain):
    """Behind a Chain's face, every module that returns a feature map, in the order they run.

    units is known after `forward`. A value that several modules return is named after the
    outermost that is no bare nn.Sequential; a module that runs again gets a suffix, as in
    "relu#2". Modules whose output the model's output (its entry "out") does not use are left out.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.in_line = False
        self.units: list[Unit] = []

    def forward(
        self, images: Tensor, opened: Collection[str] = ()
    ) -> tuple[list[Tensor], dict[str, dict[str, Tensor]], Any]:
        with self._watched(len(images)) as made:
            output = self.model(images.clone())
        explained = output["out"] if isinstance(output, dict) and "out" in output else output
        used = _history(explained)
        found = _named(value for value in made.values() if value.output.grad_fn in used)
        self.units = [Unit(name, value.module) for name, value in found.items()]
        return [value.output for value in found.values()], {}, output

    def opened(self, detail: bool | Sequence[str]) -> list[str]:
        """Nothing: every module is a layer already."""
        return []

    @contextmanager
    def _watched(self, batch: int) -> Generator[dict[int, _Made]]:
        """Filled while the model runs: what modules returned, by the identity of its copy.

        What follows a module reads a copy, so that an in-place layer cannot overwrite the map.
        """
        made: dict[int, _Made] = {}

        def watch(name: str) -> Callable:
            def hook(module: nn.Module, _: tuple, output: object) -> Tensor | None:
                if not isinstance(output, Tensor) or output.ndim != 4 or len(output) != batch:
                    return None
                inner = made.get(id(output))
                if inner is not None and output._version == inner.version:  # the same value
                    if type(module) is not nn.Sequential:
                        inner.name, inner.module = name, module
                    return None
                copy = output.clone()
                made[id(copy)] = _Made(name, module, output, copy, copy._version)
                return copy

            return hook

        modules = [(name, m) for name, m in self.model.named_modules() if name]
        hooks = [module.register_forward_hook(watch(name)) for name, module in modules]
        try:
            yield made
        finally:
            for hook in hooks:
                hook.remove()


class _ModuleChains(ChainCache):
    def chain(self, images: Tensor) -> Chain:
        check_images(self.model, images)
        return ModuleChain(self.model)


class _Segmentation(CAM):
    """The call of the methods for segmentation; a score must be given.

    Raises BadInput without a score, and as scores.PixelSet does: for a class that is predicted
    nowhere, an empty set and one of another size.
    """

    def __init__(self, model: nn.Module, *, last: str | None = None) -> None:
        super().__init__(model, last=last)
        self._chains = _ModuleChains(model)

    def recorded(self, images: Tensor, score: Score | None, detail: bool | Sequence[str]) -> Record:
        if score is None:
            raise BadInput(f"{self.name} needs a class and its pixels: give scores.PixelSet(c).")
        return super().recorded(images, score, detail)


class SegGradCAM(_Segmentation, GradCAM):
    """ReLU(sum_k mean_ij(g_k) x_k): Vinogradova, Dibrov and Myers, AAAI 2020."""

    name = "Seg-Grad-CAM"


class SegHiResGradCAM(_Segmentation, HiResCAM):
    """ReLU(sum_k g_k x_k): Rheude et al., MELBA 2024."""

    name = "Seg-HiRes-Grad-CAM"


class SegXResCAM(_Segmentation):
    """ReLU(sum_k up(pool(g_k)) x_k), up to the nearest: Hasany, Petitjean, Meriaudeau, CVPRW 2023.

    window  the side p of the pooling; 1 is Seg-HiRes-Grad-CAM, the map's size Seg-Grad-CAM (with
            pool="mean"). A window larger than a map covers it
    pool    "max", the default of the authors' code, or "mean", that of their example

    The windows at the border average what is there; the authors' code pads with zeros.
    """

    name = "Seg-XRes-CAM"

    def __init__(
        self,
        model: nn.Module,
        *,
        window: int = 2,
        pool: Literal["max", "mean"] = "max",
        last: str | None = None,
    ) -> None:
        super().__init__(model, last=last)
        if not isinstance(window, int) or window < 1:
            raise BadInput(f"window={window!r}: it is a number of pixels, 1 or more.")
        if pool not in ("max", "mean"):
            raise BadInput(f"pool={pool!r}: it is 'max' or 'mean'.")
        self.window, self.pool = window, pool

    def attention_map(self, x: Tensor, g: Tensor) -> Tensor:
        height, width = g.shape[2:]
        window = (min(self.window, height), min(self.window, width))
        if self.pool == "max":
            pooled = F.max_pool2d(g, window, ceil_mode=True)
        else:
            pooled = F.avg_pool2d(g, window, ceil_mode=True, count_include_pad=False)
        up = pooled.repeat_interleave(window[0], 2).repeat_interleave(window[1], 3)
        return (up[:, :, :height, :width] * x).sum(1).relu()


# --- sets of pixels ------------------------------------------------------------------------------


def all_pixels(size: tuple[int, int]) -> Tensor:
    """(H, W), every pixel."""
    return torch.ones(size, dtype=torch.bool)


def point(size: tuple[int, int], row: int, column: int) -> Tensor:
    """(H, W), one pixel. Raises BadInput outside the image."""
    return box(size, row, column, row + 1, column + 1)


def box(size: tuple[int, int], top: int, left: int, bottom: int, right: int) -> Tensor:
    """(H, W), rows top to bottom - 1, columns left to right - 1. Raises BadInput for a box that is
    empty or leaves the image."""
    if not (0 <= top < bottom <= size[0] and 0 <= left < right <= size[1]):
        raise BadInput(
            f"The box of rows {top} to {bottom} and columns {left} to {right} is empty or leaves "
            f"the image of {size[0]} x {size[1]} pixels."
        )
    pixels = torch.zeros(size, dtype=torch.bool)
    pixels[top:bottom, left:right] = True
    return pixels


def component(pixels: Tensor, which: Literal["largest", "smallest"] = "largest") -> Tensor:
    """The largest or smallest 4-connected component of every mask, of the shape of pixels,
    (H, W) or (B, H, W); of an empty mask the empty set.

    Raises BadInput for another shape or kind.
    """
    if pixels.ndim not in (2, 3) or which not in ("largest", "smallest"):
        raise BadInput(
            f"component takes masks (H, W) or (B, H, W) and 'largest' or 'smallest', not "
            f"{tuple(pixels.shape)} and {which!r}."
        )
    masks = pixels.bool().view(-1, *pixels.shape[-2:])
    labels = _components(masks)
    chosen = torch.zeros_like(masks)
    for mask, label, found in zip(masks, labels, chosen, strict=True):
        if mask.any():
            values, sizes = label[mask].unique(return_counts=True)
            index = sizes.argmax() if which == "largest" else sizes.argmin()
            found |= mask & (label == values[index])
    return chosen.view_as(pixels)


def _components(masks: Tensor) -> Tensor:
    """A number for every pixel of (B, H, W), the same within a component: each starts with its
    own and takes the largest of its neighbours', until nothing changes."""
    numbers = torch.arange(1, masks[0].numel() + 1, device=masks.device, dtype=torch.float64)
    label = numbers.view(1, *masks.shape[1:]) * masks
    while True:
        rows = F.max_pool2d(label[:, None], (3, 1), 1, (1, 0))[:, 0]
        columns = F.max_pool2d(label[:, None], (1, 3), 1, (0, 1))[:, 0]
        grown = torch.maximum(rows, columns) * masks
        if torch.equal(grown, label):
            return label
        label = grown


# --- the modules' values -------------------------------------------------------------------------


def _named(made: Iterable[_Made]) -> dict[str, _Made]:
    named: dict[str, _Made] = {}
    runs: dict[str, int] = {}
    for value in made:
        runs[value.name] = run = runs.get(value.name, 0) + 1
        named[value.name if run == 1 else f"{value.name}#{run}"] = value
    return named


def _history(output: object) -> set[Any]:
    """The steps of the forward pass on which a tensor depends (all, if it is no tensor)."""
    seen: set[Any] = set()
    stack = [v.grad_fn for v in tree_leaves(output) if isinstance(v, Tensor)]
    while stack:
        step = stack.pop()
        if step is not None and step not in seen:
            seen.add(step)
            stack += [before for before, _ in step.next_functions]
    return seen
