"""Cost of one flow in forward-pass equivalents, and its peak memory, per model and method.

    python -m bench.flow [--models resnet18 vgg16] [--size 224] [--batch 1] [--threads 2]
    python -m bench.flow --models resnet18 --methods all
    python -m bench.flow --models conv64f conv4net --size 84

A model is one of naflow.models, or else of torchvision, with random weights. The method `bare` is
what no method by gradients does without: a forward pass with a graph and a reverse pass.
One forward-pass equivalent is one no-grad forward pass of the same model on the same images and
device. Runs are interleaved and the median ratio is reported. Memory is the peak of live tensors
without weights and images, and its ratio to that of a forward and backward pass (to the images).
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from functools import partial

import torch
import torchvision
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from bench.rivals import GradCAMBlockByBlock, Zennit
from naflow import NAFlow, models
from naflow.explainers import CLRP
from naflow.explainers.library import FEM, GradCAMElementWise
from naflow.methods import METHODS as NAMED

# Leaves out controls, which explain nothing; adds variants and libraries without a name in naflow.
METHODS: dict[str, Callable[[nn.Module], Callable]] = {
    **{name: method for name, method in NAMED.items() if not method.control},
    "gradcam_element_wise": GradCAMElementWise,
    "fem": FEM,
    "clrp2": lambda model: CLRP(model, variant=2),
    "naflow_proximal": lambda model: NAFlow(model, "proximal"),
    "bare": lambda model: partial(bare_pass, model),
    "pytorch-grad-cam": GradCAMBlockByBlock,
    "zennit": Zennit,
}
USUAL = ["bare", "gradcam", "naflow", "naflow_damped", "pytorch-grad-cam"]


def main() -> None:
    """Print the table."""
    options = _options()
    torch.set_num_threads(options.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    where = torch.cuda.get_device_name() if device.type == "cuda" else f"{options.threads} threads"
    print(f"torch {torch.__version__}, {where}, batch {options.batch}, {options.size} px")
    print(
        f"{'model':<14} {'method':<22} {'forwards':>9} {'seconds':>8} {'memory':>9} "
        f"{'of fwd+bwd':>10} {'iterations':>10} {'worst residual':>14}"
    )
    methods = METHODS if options.methods == ["all"] else options.methods
    for name in options.models:
        torch.manual_seed(0)
        model = seen_data(_model(name)).to(device).eval()
        images = torch.randn(options.batch, 3, options.size, options.size, device=device)
        _compare(name, model, images, methods, options.repeats)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Cost of a flow in forward passes.")
    parser.add_argument("--models", nargs="+", default=["resnet18", "vgg16"])
    parser.add_argument("--methods", nargs="+", choices=[*METHODS, "all"], default=USUAL)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    return parser.parse_args()


def _model(name: str) -> nn.Module:
    return (
        models.create(name) if name in models.list_models() else getattr(torchvision.models, name)()
    )


def seen_data(model: nn.Module) -> nn.Module:
    """Give batch norms the statistics of random images, so that activations are of normal scale."""
    model.train()
    with torch.no_grad():
        for _ in range(3):
            model(torch.randn(8, 3, 96, 96))
    return model


def _compare(
    name: str, model: nn.Module, images: Tensor, methods: Iterable[str], repeats: int
) -> None:
    explainers = {method: METHODS[method](model) for method in methods}
    flows = {method: explainer(images) for method, explainer in explainers.items()}  # warm-up
    ratios, seconds = in_forwards(model, images, explainers, repeats)
    base = peak_of_live_tensors(lambda: _forward_and_reverse(model, images), model, images)
    for method, flow in flows.items():
        peak = peak_of_live_tensors(lambda e=explainers[method]: e(images), model, images)
        solved = getattr(flow, "stats", {}).values()  # other libraries return none
        iterations = sum(int(s.iterations.max()) for s in solved)
        residual = max((float(s.residual.max()) for s in solved), default=0.0)
        print(
            f"{name:<14} {method:<22} {ratios[method]:>9.1f} "
            f"{seconds[method]:>8.2f} {peak / 2**20:>5.0f} MiB "
            f"{peak / base:>10.2f} {iterations:>10} {residual:>14.2g}",
            flush=True,
        )


def in_forwards(
    model: nn.Module,
    images: Tensor,
    explainers: Mapping[str, Callable],
    repeats: int,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[dict[str, float], dict[str, float]]:
    """Return method -> the time of one flow in forward passes, and in seconds: medians of
    interleaved runs."""

    def forward() -> None:
        with torch.no_grad():
            model(images)

    ratios: dict[str, list[float]] = {method: [] for method in explainers}
    seconds: dict[str, list[float]] = {method: [] for method in explainers}
    for _ in range(repeats):
        for method, explainer in explainers.items():
            unit = statistics.median(seconds_of(forward, images, clock) for _ in range(3))
            seconds[method].append(seconds_of(lambda e=explainer: e(images), images, clock))
            ratios[method].append(seconds[method][-1] / unit)
    return (
        {method: statistics.median(found) for method, found in ratios.items()},
        {method: statistics.median(found) for method, found in seconds.items()},
    )


def seconds_of(
    run: Callable, images: Tensor, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Return the seconds of one call on the images' device."""
    _wait(images)
    start = clock()
    run()
    _wait(images)
    return clock() - start


def _wait(images: Tensor) -> None:
    if images.is_cuda:
        torch.cuda.synchronize()


def bare_pass(model: nn.Module, images: Tensor) -> Tensor:
    """Return the gradient of the highest logit at the first convolution's output."""
    first = next(module for module in model.modules() if isinstance(module, nn.Conv2d))
    found: list[Tensor] = []
    hook = first.register_forward_hook(lambda layer, given, output: found.append(output))
    with hook:
        score = model(images).max(1).values.sum()
    return torch.autograd.grad(score, found[0])[0]


def _forward_and_reverse(model: nn.Module, images: Tensor) -> Tensor:
    images = images.clone().requires_grad_()
    return torch.autograd.grad(model(images).max(1).values.sum(), images)[0]


class _LiveTensors(TorchDispatchMode):
    """Counts the bytes of the storages that operations allocate, and their peak.

    given: tensors that do not count, as they were there before (weights and images).
    """

    def __init__(self, given: Iterable[Tensor]) -> None:
        super().__init__()
        self.given = {tensor.untyped_storage()._cdata for tensor in given}
        self.alive: dict[int, int] = {}
        self.peak = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # noqa: ANN001, ANN204
        result = func(*args, **(kwargs or {}))
        for value in tree_iter(result):
            if isinstance(value, Tensor):
                self._watch(value)
        return result

    def _watch(self, value: Tensor) -> None:
        storage = value.untyped_storage()
        key = storage._cdata
        if key not in self.alive and key not in self.given:
            self.alive[key] = storage.nbytes()
            weakref.finalize(storage, self.alive.pop, key, None)
            self.peak = max(self.peak, sum(self.alive.values()))


def peak_of_live_tensors(run: Callable, model: nn.Module, images: Tensor) -> int:
    """Return the peak bytes of the tensors alive during a call, without weights and images."""
    gc.collect()
    if images.is_cuda:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        return torch.cuda.max_memory_allocated() - before
    with _LiveTensors([images, *model.parameters(), *model.buffers()]) as live:
        run()
    return live.peak


if __name__ == "__main__":
    main()
