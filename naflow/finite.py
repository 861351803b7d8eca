"""Find the samples that hold a NaN or infinity."""

from __future__ import annotations

from torch import Tensor


def not_finite(x: Tensor) -> list[int]:
    """Return the indices of the samples of x, (B, ...), that hold a NaN or infinity. In the usual
    case of none, one sum is all it costs."""
    if bool(x.sum().isfinite()):
        return []
    return (~x.isfinite()).reshape(len(x), -1).any(1).nonzero()[:, 0].tolist()
