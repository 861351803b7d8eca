"""A flow for every CNN of torchvision's classification zoo, untrained, and how well it was solved.

python -m bench.zoo [--size 96] [--preset damped] [models ...]
"""

from __future__ import annotations

import argparse
import time
import warnings

import torch
import torchvision

from naflow import NAFlow
from naflow.errors import NAFlowError

MODELS = [
    "alexnet",
    "vgg11",
    "vgg11_bn",
    "vgg16",
    "resnet18",
    "resnet50",
    "resnext50_32x4d",
    "wide_resnet50_2",
    "densenet121",
    "googlenet",
    "inception_v3",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "mobilenet_v3_large",
    "efficientnet_b0",
    "efficientnet_v2_s",
    "regnet_x_400mf",
    "regnet_y_400mf",
    "shufflenet_v2_x1_0",
    "squeezenet1_0",
    "squeezenet1_1",
    "mnasnet0_5",
    "convnext_tiny",
    "vit_b_16",
    "swin_t",
    "maxvit_t",
]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="A flow for every CNN of torchvision's zoo.")
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--preset", default="damped")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", category=FutureWarning)
    print(
        f"{'model':<20} {'maps':>5} {'seconds':>8} {'worst residual':>15} {'smallest |x~|/|x|':>18}"
    )
    for name in options.models:
        torch.manual_seed(0)
        heavy = name in ("googlenet", "inception_v3")  # their own initialisation takes a minute
        model = getattr(torchvision.models, name)(**({"init_weights": False} if heavy else {}))
        size = 224 if name in ("vit_b_16", "swin_t", "maxvit_t") else options.size
        images = torch.randn(1, 3, size, size)
        start = time.perf_counter()
        try:
            flow = NAFlow(model, options.preset)(images)
        except NAFlowError as error:
            print(f"{name:<20} refused: {error}")
            continue
        seconds = time.perf_counter() - start
        residual = max(float(s.residual.max()) for s in flow.stats.values())
        norm = min(float(s.norm_ratio.min()) for s in flow.stats.values())
        finite = all(found.isfinite().all() for found in flow.maps.values())
        print(
            f"{name:<20} {len(flow):>5} {seconds:>8.1f} {residual:>15.2g} {norm:>18.1e}"
            + ("" if finite else "  NOT FINITE"),
            flush=True,
        )


if __name__ == "__main__":
    main()
