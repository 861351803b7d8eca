"""How intricate an object is, by its outline."""

import numpy as np

from pipeline.pictures.images import Picture
from pipeline.pictures.pixels import read

SIDE = 96  # pixels: an outline looked at closer is longer, so all are looked at in one size


def intricacy(picture: Picture) -> float:
    """Perimeter^2 / (4 pi area) of the object: near 1 for a disc, larger for what has arms, holes
    or a ragged edge; NaN where no mask tells its outline.

    The perimeter is counted in pixel edges, times pi / 4 for what a slanted edge is longer then.
    """
    inside = read([picture], [], SIDE, "box", quiet=True).masks[0].numpy()
    if not inside.any():
        return float("nan")
    framed = np.pad(inside, 1).astype(np.int8)
    edges = sum(int(np.abs(np.diff(framed, axis=axis)).sum()) for axis in (0, 1))
    return (edges * np.pi / 4) ** 2 / (4 * np.pi * inside.sum())
