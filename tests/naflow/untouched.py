"""A model as it is found, to be compared with what is left of it."""

from __future__ import annotations

from typing import NoReturn

import torch
from torch import nn


def state_of(model: nn.Module) -> dict:
    return {
        "training": [m.training for m in model.modules()],
        "inplace": [getattr(m, "inplace", None) for m in model.modules()],
        "requires_grad": [p.requires_grad for p in model.parameters()],
        "grad": [None if p.grad is None else p.grad.clone() for p in model.parameters()],
        "values": [t.clone() for t in model.state_dict().values()],
        "hooks": [
            (len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks))
            for m in model.modules()
        ],
    }


def same(a: object, b: object) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return all(same(a[k], b[k]) for k in a)
    return a == b


def explode(output: torch.Tensor) -> NoReturn:
    """A score that cannot be computed."""
    raise RuntimeError("boom")
