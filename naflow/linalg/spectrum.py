"""Estimate the largest singular value of an operator from a few products."""

import torch
from torch import Tensor

from .bidiagonal import Bidiagonalisation, across


@torch.no_grad()
def largest_singular_value(process: Bidiagonalisation, steps: int = 6) -> Tensor:
    """Estimate ||J||_2 of each sample, (B,), from a bidiagonalisation before its first step.

    The estimate is the largest singular value of U^T J V, the (steps + 1)-square bidiagonal matrix
    of Golub and Kahan. It never exceeds ||J||_2, is deterministic, and does not depend on the rest
    of the batch. 0 for a sample whose starting vector is 0, NaN for one that is not finite. The
    process keeps the steps, so they cost nothing later. The host waits for the device once.

    Raises ValueError if steps < 1.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, not {steps}.")
    small = process.look_ahead(steps)
    finite = small.isfinite().all(dim=(1, 2))
    # One NaN would make the singular value decomposition raise for the whole batch.
    small = small.where(across(finite, small), 0)
    return torch.linalg.matrix_norm(small, ord=2).masked_fill(~finite, torch.nan)
