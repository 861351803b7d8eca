"""The scale of an operator: its largest singular value, from a handful of products."""

import torch
from torch import Tensor

from .bidiagonal import Bidiagonalisation, across


@torch.no_grad()
def largest_singular_value(process: Bidiagonalisation, steps: int = 6) -> Tensor:
    """Estimate ||J||_2 of each sample, (B,), from a bidiagonalisation that was just begun.

    The largest singular value of U^T J V, the (steps + 1)-square bidiagonal matrix of Golub and
    Kahan: never above ||J||_2, deterministic, and blind to the rest of the batch. 0 for a sample
    whose starting vector is 0, NaN for one that is not finite. The steps are not lost: whoever
    goes on with the process gets them for nothing. One look of the host at the device.

    Raises ValueError where steps < 1.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, not {steps}.")
    small = process.look_ahead(steps)
    finite = small.isfinite().all(dim=(1, 2))
    # A singular value decomposition raises for the whole batch where one entry is NaN.
    small = small.where(across(finite, small), 0)
    return torch.linalg.matrix_norm(small, ord=2).masked_fill(~finite, torch.nan)
