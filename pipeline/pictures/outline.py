"""Measure how intricate an object's outline is."""

import numpy as np

from pipeline.pictures.images import Picture
from pipeline.pictures.pixels import read

SIDE = 96  # pixels: an outline is longer at higher resolution, so all are measured at the same one


def intricacy(picture: Picture) -> float:
    """Return perimeter^2 / (4 pi area) of the object: near 1 for a disc, larger for objects with
    arms, holes or a ragged edge; NaN without a mask.

    The perimeter is counted in pixel edges, times pi / 4, as pixel edges overestimate slanted
    lines.
    """
    inside = read([picture], [], SIDE, "box", quiet=True).masks[0].numpy()
    if not inside.any():
        return float("nan")
    framed = np.pad(inside, 1).astype(np.int8)
    edges = sum(int(np.abs(np.diff(framed, axis=axis)).sum()) for axis in (0, 1))
    return (edges * np.pi / 4) ** 2 / (4 * np.pi * inside.sum())
