"""The scale of an operator: its largest singular value, from a handful of products."""

import torch
from torch import Tensor

from .bidiagonal import Bidiagonalisation, across, norm
from .operators import LinearOperator


@torch.no_grad()
def largest_singular_value(operator: LinearOperator, start: Tensor, steps: int = 6) -> Tensor:
    """Estimate ||J||_2 of each sample, (B,), from `start`, (B, *out).

    The largest singular value of U^T J V, the (steps + 1)-square bidiagonal matrix of Golub and
    Kahan: never above ||J||_2, deterministic, and blind to the rest of the batch. Costs `steps`
    products with J, one more with J^T, and one look of the host at the device. A sample whose
    start is zero starts from a fixed vector instead; one that is not finite gives NaN.

    Raises ValueError where start has the wrong shape or steps < 1.
    """
    if start.shape != operator.output_shape:
        raise ValueError(
            f"start has shape {tuple(start.shape)}, the operator's output "
            f"{tuple(operator.output_shape)}."
        )
    if steps < 1:
        raise ValueError(f"steps must be at least 1, not {steps}.")

    # Broad-band and the same for every sample: no convolution is blind to it by its symmetry.
    one = start[:1]
    fixed = torch.arange(1, one.numel() + 1, dtype=start.dtype, device=start.device)
    fixed = fixed.square().cos().view(one.shape)
    process = Bidiagonalisation(
        operator, torch.where(across(norm(start) == 0, start), fixed, start)
    )
    small = start.new_zeros(start.shape[0], steps + 1, steps + 1)  # (B, k+1, k+1)
    small[:, 0, 0] = process.alpha
    for k in range(1, steps + 1):
        process.step()
        small[:, k, k - 1], small[:, k, k] = process.beta, process.alpha

    finite = small.isfinite().all(dim=(1, 2))
    # A singular value decomposition raises for the whole batch where one entry is NaN.
    small = small.where(across(finite, small), 0)
    return torch.linalg.matrix_norm(small, ord=2).masked_fill(~finite, torch.nan)
