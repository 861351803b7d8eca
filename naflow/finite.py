"""Where a NaN or infinity is."""

from __future__ import annotations

from torch import Tensor


def not_finite(x: Tensor) -> list[int]:
    """The samples of x, (B, ...), that hold a NaN or infinity; mostly none, told by one sum."""
    if bool(x.sum().isfinite()):
        return []
    return (~x.isfinite()).reshape(len(x), -1).any(1).nonzero()[:, 0].tolist()
