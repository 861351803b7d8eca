"""Arrays as text: what the page's scripts turn back into maps, photographs and colours."""

import base64
import io
import math
import zlib
from collections.abc import Sequence

import numpy as np

from naflow import plot

LARGEST = 15  # a map is kept below 2 to this power, as float16 ends just below 2^16


def text(content: bytes) -> str:
    """Base64."""
    return base64.b64encode(content).decode("ascii")


def flow(maps: Sequence[np.ndarray]) -> dict:
    """Maps (h, w), one a layer, as {"maps": base64, "exponents": one a layer}.

    The bytes, deflated, are float16 in little-endian order, layer after layer. A map is multiplied
    by two to its exponent first, so that float16 loses no range: 11 significant bits stay down to
    2^-28 of the map's largest value.
    """
    exponents = [_exponent(one) for one in maps]
    halves = [
        np.ldexp(np.asarray(one, np.float64), exponent).astype("<f2").tobytes()
        for one, exponent in zip(maps, exponents, strict=True)
    ]
    return {"maps": text(zlib.compress(b"".join(halves), 9)), "exponents": exponents}


def _exponent(attention: np.ndarray) -> int:
    return LARGEST - math.frexp(float(np.abs(attention).max()))[1]


def photograph(pixels: np.ndarray) -> str:
    """uint8 pixels (H, W, 3) as the address of a PNG."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + text(file.getvalue())


def colours() -> str:
    """The 256 colours of naflow.plot, from the lowest value to the highest, three bytes each."""
    from matplotlib import colormaps

    table = colormaps[plot.COLOURS](np.arange(256))[:, :3]
    return text(np.round(255 * table).astype(np.uint8).tobytes())


def number(value: float) -> float | None:
    """Six significant digits; None for NaN and infinity, which JSON has no words for."""
    return float(f"{value:.6g}") if math.isfinite(value) else None
