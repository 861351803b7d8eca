"""Encode arrays as text, which the page's scripts decode to maps, photographs and colours."""

import base64
import io
import math
import zlib
from collections.abc import Sequence

import numpy as np

from naflow import plot

LARGEST = 15  # maps are scaled to stay below 2 to this power; float16 ends just below 2^16


def text(content: bytes) -> str:
    """Encode bytes as base64."""
    return base64.b64encode(content).decode("ascii")


def flow(maps: Sequence[np.ndarray]) -> dict:
    """Encode maps (h, w), one per layer, as {"maps": base64, "exponents": one per layer}.

    The bytes, deflated, are little-endian float16, layer after layer. Each map is first multiplied
    by 2 to its exponent, so that float16 loses no range: values down to 2^-28 of the map's largest
    keep 11 significant bits.
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
    """Encode uint8 pixels (H, W, 3) as the data URL of a PNG."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + text(file.getvalue())


def colours() -> str:
    """Encode the 256 colours of naflow.plot, lowest value first, three bytes each."""
    from matplotlib import colormaps

    table = colormaps[plot.COLOURS](np.arange(256))[:, :3]
    return text(np.round(255 * table).astype(np.uint8).tobytes())


def number(value: float) -> float | None:
    """Round to six significant digits; None for NaN and infinity, which JSON cannot hold."""
    return float(f"{value:.6g}") if math.isfinite(value) else None
