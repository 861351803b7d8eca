"""Procedural textures: the coloured patterns of the scenes.

Every texture is an array (size, size, 3) in [0, 1] that depends only on the given generator, so a
seed determines it.
"""

import colorsys
import math

import numpy as np
from PIL import Image

Rng = np.random.Generator


def noise(rng: Rng, size: int, cells: int) -> np.ndarray:
    """Draw smooth noise (size, size) in [0, 1], with about `cells` bumps along each side."""
    grid = rng.random((cells + 2, cells + 2), dtype=np.float32)
    field = np.asarray(Image.fromarray(grid).resize((size, size), Image.Resampling.BICUBIC))
    return np.clip(field, 0, 1)


def cloud(rng: Rng, size: int) -> np.ndarray:
    """Draw noise at three scales, rescaled to [0, 1]; (size, size)."""
    field = sum(
        weight * noise(rng, size, cells) for cells, weight in ((2, 1.0), (5, 0.5), (12, 0.25))
    )
    return (field - field.min()) / np.ptp(field)


def colour(rng: Rng, hue: float, strength: tuple[float, float]) -> np.ndarray:
    """Draw an RGB colour (3,) near `hue` (0 to 1), with a saturation within `strength`."""
    rgb = colorsys.hsv_to_rgb(
        (hue + rng.normal(0, 0.06)) % 1, rng.uniform(*strength), rng.uniform(0.35, 0.95)
    )
    return np.array(rgb, np.float32)


def _stripes(rng: Rng, size: int) -> np.ndarray:
    x, y = _grid(size)
    count, bend = rng.uniform(6, 16), rng.uniform(0, 0.12)
    along, _ = _turned(x, y, rng.uniform(0, np.pi))
    return _crisp(np.sin(2 * np.pi * count * (along + bend * cloud(rng, size))))


def _checks(rng: Rng, size: int) -> np.ndarray:
    x, y = _grid(size)
    count = rng.uniform(4, 9)
    u, v = _turned(x, y, rng.uniform(0, np.pi / 2))
    return _crisp(np.sin(2 * np.pi * count * u) * np.sin(2 * np.pi * count * v) * 2)


def _dots(rng: Rng, size: int) -> np.ndarray:
    x, y = _grid(size)
    count = rng.uniform(5, 11)
    u, v = _turned(x, y, rng.uniform(0, np.pi / 2))
    return _crisp(3 * (np.cos(2 * np.pi * count * u) + np.cos(2 * np.pi * count * v) - 0.9))


def _grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return x and y of every pixel, (1, size) and (size, 1), from 0 to 1."""
    along = np.arange(size, dtype=np.float32) / size
    return along[None, :], along[:, None]


def _turned(x: np.ndarray, y: np.ndarray, angle: float) -> tuple[np.ndarray, np.ndarray]:
    cos, sin = math.cos(angle), math.sin(angle)
    return x * cos + y * sin, y * cos - x * sin


def _crisp(wave: np.ndarray) -> np.ndarray:
    """Turn a wave around 0 into two levels, with edges about one pixel wide."""
    return np.clip(0.5 + 2 * wave, 0, 1)


def _plain(rng: Rng, size: int) -> np.ndarray:
    return 0.35 * cloud(rng, size)


PATTERNS = (_plain, cloud, _stripes, _checks, _dots)


def texture(rng: Rng, size: int, first: np.ndarray, second: np.ndarray, depth: float) -> np.ndarray:
    """Draw a random pattern of two RGB colours (3,), with soft light on it; (size, size, 3).

    depth: how far, 0 to 1, the pattern may go from the first colour towards the second.
    """
    amount = (
        PATTERNS[rng.integers(len(PATTERNS))](rng, size)[..., None] * rng.uniform(0.3, 1) * depth
    )
    light = 0.88 + 0.24 * noise(rng, size, 2)[..., None]
    return np.clip(((1 - amount) * first + amount * second) * light, 0, 1)
