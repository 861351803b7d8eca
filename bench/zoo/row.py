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
from naflow.outputs import output_tensor

TOLERANCE = 1e-4  # largest difference of HiResCAM from hooks


@dataclass
class Row:
    """The results for one model; None where a step was not reached.

    maps          number of layers of the flow
    cost          method -> cost of its first and its second call, in forward passes
    error         largest difference of HiResCAM from hooks, over `compared` layers; see
                  against_hooks
    hooks_off     that difference where it goes with every image given twice; then `error` is the
                  difference from the hooks of that run
    conservation  LRP's deviation from 1 at the last map and at the first
    finite        method -> whether all its maps are finite
    said          method -> its error message if it refused the model; "all" if every method did
    wrong         method -> an exception that is none of naflow's
    """

    name: str
    kind: str
    size: int
    parameters: int = 0
    maps: int | None = None
    compared: int = 0
    error: float | None = None
    hooks_off: float | None = None
    cost: dict[str, tuple[float, float]] = field(default_factory=dict)
    conservation: tuple[float, float] | None = None
    finite: dict[str, bool] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)


class _TooLongError(BaseException):
    """A model took too long. Not an Exception, so that it is not taken for one of the model's."""


def measured(entry: Entry, batch: int, limit: int) -> Row:
    """Return the row of a model, on `batch` images. The row also says what went wrong, and whether
    the model was not finished within `limit` seconds."""
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
    if row.error is not None and not row.error <= TOLERANCE:
        twice, _ = against_hooks(model, torch.cat([images, images]), score, flow)
        if twice is not None and twice <= TOLERANCE:
            row.hooks_off, row.error = row.error, twice
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
    """Return the largest difference of HiResCAM's maps from maps by forward hooks and
    torch.autograd.grad on the model's own run, and the number of layers compared: those that are
    modules and called once. The difference is None if there are no such layers. More images than
    the flow has follow its own, and are not compared.

    It is relative to the layer's largest sum_k |g_k x_k|: before a layer norm the terms cancel (g
    is normal to x, as the norm ignores x's length), and the map is only rounding errors.
    """
    modules = dict(model.named_modules())
    seen: dict[str, list[Tensor]] = {name: [] for name in flow.layers if name in modules}

    def hook(name: str) -> Callable:
        def see(module: nn.Module, args: tuple, output: Any) -> Any:
            if not isinstance(output, Tensor):
                return None
            seen[name].append(output)
            return output.clone()  # the next operation may be in place

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
        terms = terms[: len(flow.maps[name])]
        size = float(terms.abs().sum(1).max()) or 1.0
        errors.append(float((flow.maps[name] - terms.sum(1).relu()).abs().max()) / size)
    return max(errors, default=None), len(errors)


def seen_data(model: nn.Module, images: Tensor) -> None:
    """Set the batch norms' statistics to those of these images, for activations of sensible
    scale."""
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
    try:
        with torch.no_grad():
            model(images)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.eval()
            norm.momentum = momentum


def _costs(
    row: Row, method: str, explainer: Explainer, images: Tensor, score: Any, forward: float
) -> None:
    costs = []
    for _ in range(2):
        start = time.process_time()
        flow = _tried(row, method, lambda: explainer(images, score))
        costs.append((time.process_time() - start) / forward)
        if flow is None:
            return
    row.cost[method] = costs[0], costs[1]
    row.finite[method] = all(bool(m.isfinite().all()) for m in flow.maps.values())


def _tried(row: Row, method: str, call: Callable[[], Any]) -> Any:
    """Return the result of a call; None if it raised, which the row then says."""
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
    """Return the processor time of one pass without gradients, which other work on the machine does
    not change."""
    seconds = []
    with torch.no_grad():
        for _ in range(3):
            start = time.process_time()
            model(images)
            seconds.append(time.process_time() - start)
    return statistics.median(seconds)


def _output_size(model: nn.Module, images: Tensor) -> tuple[int, int]:
    with torch.no_grad():
        height, width = output_tensor(model(images)).shape[2:]
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
