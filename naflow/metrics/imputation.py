"""Fill missing pixels from their neighbours: the linear imputation of ROAD, without noise.

Rong et al., ICML 2022: a missing pixel is the weighted mean of its eight neighbours, which may be
missing, too. This is one sparse, symmetric positive definite system per channel. It is solved by
conjugate gradients without a matrix, all channels of all images at once. A hole would need as many
iterations as it is wide, so coarser grids precondition the system (Bramble, Pasciak, Xu, Parallel
multilevel preconditioners, Math. Comp. 55, 1990); then about 30 iterations are enough.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import conv2d, conv_transpose2d, max_pool2d

from naflow.errors import BadInput, NotFinite

_WEIGHTS = ((1 / 12, 1 / 6, 1 / 12), (1 / 6, 0.0, 1 / 6), (1 / 12, 1 / 6, 1 / 12))
_HAT = tuple(tuple(a * b for b in (1, 3, 3, 1)) for a in (1 / 16, 3 / 16, 3 / 16, 1 / 16))


@torch.no_grad()
def imputed(
    images: Tensor,
    missing: Tensor,
    *,
    start: Tensor | None = None,
    tol: float = 1e-5,
    max_iterations: int = 1000,
) -> Tensor:
    """Return images (B, C, H, W) in which every missing pixel is the mean of its eight neighbours,
    with weights 1/6 (beside) and 1/12 (diagonal), scaled to sum to 1 at the border.

    missing         boolean (B, H, W)
    start           first iterate, (B, C, H, W); by default the images
    tol             a channel is done if its equations hold to tol times the image's largest value
    max_iterations  of the solver

    Raises BadInput if all pixels of an image are missing, NotFinite if a channel is not done after
    max_iterations.
    """
    everything = missing.flatten(1).all(1).nonzero()[:, 0].tolist()
    if everything:
        raise BadInput(f"All pixels of images {everything} are missing: there are no neighbours.")
    known, unknown = _planes(images), _planes(missing[:, None].expand_as(images))
    holes = _Holes(unknown.to(images))
    total = _each(torch.ones_like(known[:, :1]), _WEIGHTS)

    def equations(x: Tensor) -> Tensor:
        return (total * x - _each(x, _WEIGHTS)) * holes.here

    x = known if start is None else torch.where(unknown, _planes(start), known)
    limit = _planes(tol * images.abs().amax((1, 2, 3), keepdim=True).expand_as(images[..., :1, :1]))
    residual = -equations(x)
    direction = better = holes(residual)
    size = _dot(residual, better)
    for _ in range(max_iterations):
        going = residual.abs().amax((2, 3), keepdim=True) > limit
        if not bool(going.any()):
            return x.view_as(images)
        changed = equations(direction)
        step = torch.where(going, size / _dot(direction, changed), 0)
        x = x + step * direction
        residual = residual - step * changed
        better, before = holes(residual), size
        size = _dot(residual, better)
        direction = better + torch.where(going, size / before, 0) * direction
    wrong = going.view(len(images), -1).any(1).nonzero()[:, 0].tolist()
    raise NotFinite(
        f"The imputation of images {wrong} did not reach tol={tol} in {max_iterations} iterations: "
        "allow more of either."
    )


class _Holes:
    """A symmetric preconditioner: the sum of a residual over grids, each half as fine as the last.

    A point of a coarser grid is used only if all pixels that are interpolated from it are missing.
    The bilinear basis functions of all grids have about the same energy in the system, so they need
    no weights. here: 1 where a pixel is missing, (1, B C, H, W).
    """

    def __init__(self, here: Tensor) -> None:
        self.here = here
        self._grids: list[Tensor] = []
        while min(here.shape[2:]) >= 2:
            here = (max_pool2d(1 - here, 4, 2, padding=1) == 0).to(here)
            if not bool(here.any()):
                break
            self._grids.append(here)

    def __call__(self, residual: Tensor) -> Tensor:
        return self._summed(residual, self._grids)

    def _summed(self, r: Tensor, grids: list[Tensor]) -> Tensor:
        if not grids:
            return r
        coarse = self._summed(_each(r, _HAT, stride=2) * grids[0], grids[1:])
        odd = (r.shape[2] % 2, r.shape[3] % 2)
        return r + _each(coarse, _HAT, conv_transpose2d, stride=2, output_padding=odd)


def _planes(images: Tensor) -> Tensor:
    """Reshape (B, C, H, W) to (1, B C, H, W): convolving these channels is several times faster."""
    return images.reshape(1, -1, *images.shape[2:])


def _each(
    x: Tensor,
    kernel: tuple[tuple[float, ...], ...],
    convolve: Callable[..., Tensor] = conv2d,
    **settings: Any,
) -> Tensor:
    """Convolve every channel of x (1, n, H, W) with the same kernel, zeros beyond the border."""
    channels = x.shape[1]
    weight = torch.tensor(kernel).to(x).expand(channels, 1, -1, -1)
    return convolve(x, weight, padding=1, groups=channels, **settings)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum((2, 3), keepdim=True)
