"""One row of the table: a model explained by every kind of method, and checked against hooks."""

from __future__ import annotations

import gc
import signal
import statistics
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from bench.zoo.models import Entry
from naflow import NAFlow, scores
from naflow.errors import NAFlowError
from naflow.explainer import Explainer
from naflow.explainers import LRP, GradCAM, HiResCAM, SegGradCAM, SegHiResGradCAM
from naflow.explainers.segmentation import all_pixels


@dataclass
class Row:
    """What was found of one model; None where it was not reached.

    cost          method -> forward passes that its first and its second call took
    error         the largest difference of HiResCAM from hooks, at `compared` layers; see
                  against_hooks
    conservation  LRP's deviation from 1 at the last map and at the first
    said          method -> the sentence with which it refused; "all" where everything did
    wrong         method -> an exception that is none of naflow's
    """

    name: str
    kind: str
    size: int
    parameters: int = 0
    maps: int | None = None
    compared: int = 0
    error: float | None = None
    cost: dict[str, tuple[float, float]] = field(default_factory=dict)
    conservation: tuple[float, float] | None = None
    finite: dict[str, bool] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)


class _TooLongError(BaseException):
    """A model's time is over; no Exception, so that nobody on the way takes it for the model's."""


def measured(entry: Entry, batch: int, limit: int) -> Row:
    """The row of a model, on `batch` images. Whatever goes wrong is in the row, and so is a step
    that was not finished within limit seconds."""
    row = Row(entry.name, entry.kind, entry.size)
    try:
        with _time(limit):
            torch.manual_seed(0)
            model = entry.build().eval()
            row.parameters = sum(p.numel() for p in model.parameters())
            images = torch.randn(max(batch, 4), entry.channels, entry.size, entry.size)
            seen_data(model, images)
            _fill(row, model, images[:batch])
    except _TooLongError:
        row.wrong["time"] = f"not finished within {limit} s"
    except Exception as error:
        row.wrong["model"] = _sentence(error)
    gc.collect()
    return row


def _fill(row: Row, model: nn.Module, images: Tensor) -> None:
    segments = row.kind == "segmentation"
    score = scores.PixelSet(1, all_pixels(_output_size(model, images))) if segments else None
    hires = (SegHiResGradCAM if segments else HiResCAM)(model)
    flow = _tried(row, "all", lambda: hires(images, score, keep=("importance",)))
    if flow is None:
        return
    row.maps = len(flow)
    row.error, row.compared = against_hooks(model, images, score, flow)
    forward = _forward_seconds(model, images)
    gradcam = (SegGradCAM if segments else GradCAM)(model)
    _costs(row, "Grad-CAM", gradcam, images, score, forward)
    _costs(row, "selective", NAFlow(model), images, score, forward)
    relevance = _tried(row, "LRP", lambda: LRP(model)(images, score))
    if relevance is not None:
        row.finite["LRP"] = all(bool(m.isfinite().all()) for m in relevance.maps.values())
        kept = [float((c - 1).abs().max()) for c in relevance.conservation.values()]
        row.conservation = kept[-1], kept[0]
    damped = _tried(row, "damped", lambda: NAFlow(model, "damped")(images, score))
    if damped is not None:
        row.finite["damped"] = all(bool(m.isfinite().all()) for m in damped.maps.values())


def against_hooks(
    model: nn.Module, images: Tensor, score: scores.Score | None, flow: Any
) -> tuple[float | None, int]:
    """The largest difference of HiResCAM's maps from those of forward hooks and torch.autograd.grad
    on the model's own run, and at how many layers: those that are modules, called once. None where
    there are none.

    Relative to the layer's largest sum_k |g_k x_k|: before a layer norm the terms cancel (g is
    normal to x, as the norm ignores x's length), and the map is rounding alone.
    """
    modules = dict(model.named_modules())
    seen: dict[str, list[Tensor]] = {name: [] for name in flow.layers if name in modules}

    def hook(name: str) -> Callable:
        def see(module: nn.Module, args: tuple, output: Any) -> Any:
            if not isinstance(output, Tensor):
                return None
            seen[name].append(output)
            return output.clone()  # what follows may be in place

        return see

    hooks = [modules[name].register_forward_hook(hook(name)) for name in seen]
    try:
        value = (score or scores.ClassLogit())(model(images.clone().requires_grad_()))
    finally:
        for handle in hooks:
            handle.remove()
    once = {name: calls[0] for name, calls in seen.items() if len(calls) == 1}
    gradients = torch.autograd.grad(value.sum(), list(once.values()), allow_unused=True)
    errors = []
    for (name, x), g in zip(once.items(), gradients, strict=True):
        terms = torch.zeros_like(x) if g is None else (g * x).detach()
        size = float(terms.abs().sum(1).max()) or 1.0
        errors.append(float((flow.maps[name] - terms.sum(1).relu()).abs().max()) / size)
    return max(errors, default=None), len(errors)


def seen_data(model: nn.Module, images: Tensor) -> None:
    """Give the batch norms the statistics of these images: activations of a sane scale."""
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm)]
    found = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
    try:
        with torch.no_grad():
            model(images)
    finally:
        for norm, momentum in zip(norms, found, strict=True):
            norm.eval()
            norm.momentum = momentum


def _costs(
    row: Row, method: str, explainer: Explainer, images: Tensor, score: Any, forward: float
) -> None:
    found = []
    for _ in range(2):
        start = time.process_time()
        flow = _tried(row, method, lambda: explainer(images, score))
        found.append((time.process_time() - start) / forward)
        if flow is None:
            return
    row.cost[method] = found[0], found[1]
    row.finite[method] = all(bool(m.isfinite().all()) for m in flow.maps.values())


def _tried(row: Row, method: str, call: Callable[[], Any]) -> Any:
    """What the call returns; None where it raised, which is then in the row."""
    try:
        return call()
    except NAFlowError as error:
        row.said[method] = _sentence(error)
    except Exception as error:
        row.wrong[method] = _sentence(error)
    return None


def _sentence(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:400]}"


def _forward_seconds(model: nn.Module, images: Tensor) -> float:
    """Processor time of one pass without gradients: other work on the machine is not in it."""
    found = []
    with torch.no_grad():
        for _ in range(3):
            start = time.process_time()
            model(images)
            found.append(time.process_time() - start)
    return statistics.median(found)


def _output_size(model: nn.Module, images: Tensor) -> tuple[int, int]:
    with torch.no_grad():
        height, width = scores.output_tensor(model(images)).shape[2:]
    return height, width


@contextmanager
def _time(limit: int) -> Generator[None]:
    def over(number: int, frame: FrameType | None) -> None:
        raise _TooLongError

    before = signal.signal(signal.SIGALRM, over)
    signal.alarm(limit)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
