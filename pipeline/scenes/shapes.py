"""Scenes with one known object each: the class is the object's silhouette, everything else varies.

A scene is a collage: a textured background, irregular scraps and strokes that belong to no class,
and on top one silhouette with its own texture, colour, size, rotation and position. The object's
mask is known exactly, so the scenes show whether an attention map lies on the object.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from pipeline.scenes.silhouettes import SILHOUETTES, Polygon
from pipeline.scenes.textures import Rng, colour, texture

FINE = 4  # outlines are drawn this many times larger, then reduced, for smooth edges
AREA = (0.2, 0.42)  # the object's share of the scene
REACH = 0.44  # largest extent of an object from its middle, as a share of the scene's side
MUTED, VIVID = (0.05, 0.5), (0.35, 0.9)  # saturation of the surroundings and of the object
TURN = 25.0  # largest rotation, in degrees: an arrow still points to the right


@dataclass(frozen=True)
class Scene:
    """`image` (size, size, 3) and `mask` (size, size), uint8; `box` x0, y0, x1, y1 in pixels."""

    image: np.ndarray
    mask: np.ndarray
    box: tuple[int, int, int, int]


def scene(name: str, size: int, rng: Rng) -> Scene:
    """Draw a scene of `size` pixels a side with silhouette `name`; `rng` decides all else."""
    hue = rng.random()
    canvas = texture(rng, size, colour(rng, hue, MUTED), colour(rng, hue, MUTED), 0.7)
    for _ in range(rng.integers(4, 8)):
        outline = _stroke(rng) if rng.random() < 0.4 else _scrap(rng)
        tint = colour(rng, rng.random(), MUTED), colour(rng, rng.random(), MUTED)
        canvas = _paste(canvas, cover([outline], size), texture(rng, size, *tint, 0.7))
    outline = place(SILHOUETTES[name], rng)
    alpha = cover(outline, size)
    canvas = _paste(canvas, alpha, _contrasting(rng, canvas[alpha > 0.5].mean(0), size))
    mask = alpha > 0.5
    return Scene(
        (np.clip(canvas, 0, 1) * 255).round().astype(np.uint8),
        mask.astype(np.uint8) * 255,
        box_of(mask),
    )


def box_of(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Return the smallest box x0, y0, x1, y1 around the true pixels of a mask (H, W)."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def place(silhouette: list[Polygon], rng: Rng) -> list[Polygon]:
    """Rotate the silhouette, scale it to an area within AREA, and move it inside the unit
    square."""
    turn = np.deg2rad(rng.uniform(-TURN, TURN))
    matrix = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    turned = [Polygon(part.points @ matrix, part.hole) for part in silhouette]
    points = np.concatenate([part.points for part in turned])
    low, high = points.min(0), points.max(0)
    share = cover(_moved(turned, 0.25, np.array([0.5, 0.5])), 64).mean() / 0.25**2
    scale = min(np.sqrt(rng.uniform(*AREA) / share), 2 * REACH / (high - low).max())
    first, last = 0.02 - low * scale, 0.98 - high * scale
    return _moved(turned, scale, rng.uniform(first, last))


def cover(outline: list[Polygon], size: int) -> np.ndarray:
    """Return the share of each pixel that an outline in the unit square covers, (size, size)."""
    sheet = Image.new("L", (size * FINE, size * FINE))
    pen = ImageDraw.Draw(sheet)
    for part in outline:
        pen.polygon((part.points * size * FINE).ravel().tolist(), fill=0 if part.hole else 255)
    return np.asarray(sheet.reduce(FINE), np.float32) / 255


def _moved(outline: list[Polygon], scale: float, offset: np.ndarray) -> list[Polygon]:
    return [Polygon(part.points * scale + offset, part.hole) for part in outline]


def _scrap(rng: Rng) -> Polygon:
    """Draw a torn piece of paper: a random wavy closed curve."""
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    radius = rng.uniform(0.06, 0.22) * (
        1
        + sum(
            rng.uniform(0.1, 0.3) * np.sin(k * angle + rng.uniform(0, 2 * np.pi)) for k in (2, 3, 5)
        )
    )
    middle = rng.random(2)
    return Polygon(middle + radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1))


def _stroke(rng: Rng) -> Polygon:
    """Draw a brush stroke: a quadratic curve with some width."""
    start, bend, end = rng.uniform(-0.1, 1.1, (3, 2))
    t = np.linspace(0, 1, 24)[:, None]
    line = (1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * end
    along = np.gradient(line, axis=0)
    across = np.stack([-along[:, 1], along[:, 0]], 1) / (
        np.linalg.norm(along, axis=1, keepdims=True) + 1e-9
    )
    side = across * rng.uniform(0.008, 0.03)
    return Polygon(np.concatenate([line + side, (line - side)[::-1]]))


def _contrasting(rng: Rng, behind: np.ndarray, size: int) -> np.ndarray:
    """Draw a texture for the object whose main colour differs from the colour behind it."""
    tries = [colour(rng, rng.random(), VIVID) for _ in range(5)]
    first = max(tries, key=lambda rgb: np.abs(rgb - behind).sum())
    return texture(rng, size, first, colour(rng, rng.random(), VIVID), 0.4)


def _paste(canvas: np.ndarray, alpha: np.ndarray, surface: np.ndarray) -> np.ndarray:
    """Lay a cut-out on the canvas, with a soft shadow down and to the right."""
    sheet = Image.fromarray((alpha * 255).astype(np.uint8))
    shade = (
        np.asarray(sheet.filter(ImageFilter.GaussianBlur(alpha.shape[0] / 64)), np.float32) / 255
    )
    step = max(1, alpha.shape[0] // 64)
    shade = np.pad(shade, ((step, 0), (step, 0)))[:-step, :-step, None]
    alpha = alpha[..., None]
    return canvas * (1 - 0.45 * shade) * (1 - alpha) + surface * alpha
