"""The silhouettes that are the classes of the embedded scenes: 24 shapes that a child can name.

A silhouette is a list of polygons in a square of about [-1, 1], x to the right and y down. A
polygon marked as a hole is cut out of what was drawn before it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Polygon:
    """A closed polygon: points (n, 2) as x, y; `hole` cuts it out instead of filling it."""

    points: np.ndarray
    hole: bool = False


def _filled(*points: tuple[float, float]) -> Polygon:
    return Polygon(np.array(points, float))


def _radial(radius: Iterable[float], turn: float = -90.0) -> Polygon:
    """Return a polygon from its radius at equally spaced angles, the first one pointing up."""
    radius = np.asarray(list(radius), float)
    angle = np.deg2rad(turn) + np.linspace(0, 2 * np.pi, len(radius), endpoint=False)
    return Polygon(np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1))


def _ellipse(cx: float, cy: float, rx: float, ry: float, hole: bool = False) -> Polygon:
    circle = _radial(np.ones(48)).points
    return Polygon(circle * [rx, ry] + [cx, cy], hole)


def _curve(x: np.ndarray, y: np.ndarray) -> Polygon:
    return Polygon(np.stack([np.asarray(x, float), np.asarray(y, float)], axis=1))


def _heart() -> list[Polygon]:
    t = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return [_curve(np.sin(t) ** 3, -(y + 2.5) / 16)]


def _drop() -> list[Polygon]:
    t = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    return [_curve(0.95 * np.sin(t) * np.sin(t / 2) ** 1.5, -np.cos(t))]


def _leaf() -> list[Polygon]:
    t = np.linspace(-1, 1, 30)
    width = 0.52 * (1 - t**2) ** 0.9
    blade = _curve(
        np.concatenate([width, -width[::-1]]), np.concatenate([t, t[::-1]]) * 0.85 - 0.15
    )
    return [blade, _filled((-0.05, 0.5), (0.05, 0.5), (0.09, 1), (-0.05, 1))]


def _flower() -> list[Polygon]:
    petals = [
        _ellipse(0.6 * np.cos(a), 0.6 * np.sin(a), 0.36, 0.36)
        for a in np.deg2rad(np.arange(0, 360, 60) - 90)
    ]
    return [*petals, _ellipse(0, 0, 0.5, 0.5), _ellipse(0, 0, 0.2, 0.2, hole=True)]


def _gear() -> list[Polygon]:
    tooth = [0.72, 0.72, 1.0, 1.0, 1.0, 0.72]
    return [_radial(tooth * 8), _ellipse(0, 0, 0.34, 0.34, hole=True)]


def _butterfly() -> list[Polygon]:
    t = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    r = 0.62 + 0.38 * np.cos(4 * (t - np.pi / 4)) + 0.08 * np.sin(t)
    return [_curve(1.05 * r * np.cos(t), -0.95 * r * np.sin(t)), _ellipse(0, 0.05, 0.1, 0.7)]


def _umbrella() -> list[Polygon]:
    t = np.linspace(np.pi, 0, 30)
    rim = np.linspace(1, -1, 40)
    dome = _curve(
        np.concatenate([np.cos(t), rim]),
        np.concatenate(
            [0.1 - 0.95 * np.sin(t), 0.1 - 0.16 * np.abs(np.sin((rim + 1) * np.pi * 1.5))]
        ),
    )
    stick = _filled((-0.07, 0), (0.07, 0), (0.07, 0.8), (-0.07, 0.8))
    hook = [_ellipse(0.2, 0.78, 0.27, 0.24), _ellipse(0.2, 0.76, 0.13, 0.12, hole=True)]
    cut = Polygon(np.array([(0.07, 0.45), (0.6, 0.45), (0.6, 0.76), (0.07, 0.76)]), hole=True)
    return [*hook, cut, dome, stick]


def _fish() -> list[Polygon]:
    tail = _filled((0.4, 0), (1, -0.55), (0.85, 0), (1, 0.55))
    fin = _filled((-0.35, -0.3), (0.15, -0.75), (0.3, -0.2))
    return [
        _ellipse(-0.25, 0, 0.75, 0.48),
        tail,
        fin,
        _ellipse(-0.65, -0.12, 0.07, 0.07, hole=True),
    ]


SILHOUETTES: dict[str, list[Polygon]] = {
    "triangle": [_filled((0, -0.95), (1, 0.8), (-1, 0.8))],
    "square": [_filled((-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8))],
    "disc": [_ellipse(0, 0, 0.9, 0.9)],
    "star": [_radial([1.05, 0.45] * 5)],
    "heart": _heart(),
    "cross": [
        _filled((-0.32, -1), (0.32, -1), (0.32, 1), (-0.32, 1)),
        _filled((-1, -0.32), (1, -0.32), (1, 0.32), (-1, 0.32)),
    ],
    "crescent": [_ellipse(-0.05, 0, 0.95, 0.95), _ellipse(0.42, -0.12, 0.78, 0.78, hole=True)],
    "arrow": [
        _filled(
            (-1, -0.26), (0.1, -0.26), (0.1, -0.75), (1, 0), (0.1, 0.75), (0.1, 0.26), (-1, 0.26)
        )
    ],
    "bolt": [
        _filled(
            (0.15, -1),
            (-0.6, 0.15),
            (-0.08, 0.15),
            (-0.25, 1),
            (0.6, -0.25),
            (0.08, -0.25),
            (0.5, -1),
        )
    ],
    "house": [
        _filled((-0.72, -0.12), (0.72, -0.12), (0.72, 0.9), (-0.72, 0.9)),
        _filled((0, -1), (1, -0.1), (-1, -0.1)),
        Polygon(np.array([(-0.2, 0.3), (0.2, 0.3), (0.2, 0.9), (-0.2, 0.9)]), hole=True),
    ],
    "fish": _fish(),
    "fir": [
        _filled((0, -1), (0.5, -0.35), (-0.5, -0.35)),
        _filled((0, -0.65), (0.68, 0.15), (-0.68, 0.15)),
        _filled((0, -0.2), (0.85, 0.7), (-0.85, 0.7)),
        _filled((-0.16, 0.6), (0.16, 0.6), (0.16, 1), (-0.16, 1)),
    ],
    "ring": [_ellipse(0, 0, 0.95, 0.95), _ellipse(0, 0, 0.55, 0.55, hole=True)],
    "leaf": _leaf(),
    "hourglass": [_filled((-0.75, -1), (0.75, -1), (0.1, 0), (0.75, 1), (-0.75, 1), (-0.1, 0))],
    "boat": [
        _filled((-1, 0.4), (1, 0.4), (0.6, 0.9), (-0.6, 0.9)),
        _filled((-0.1, -1), (-0.1, 0.25), (-0.8, 0.25)),
        _filled((0.05, -0.8), (0.75, 0.25), (0.05, 0.25)),
        _filled((-0.1, -1), (0.05, -1), (0.05, 0.5), (-0.1, 0.5)),
    ],
    "gear": _gear(),
    "flower": _flower(),
    "key": [
        _ellipse(-0.55, 0, 0.45, 0.45),
        _ellipse(-0.55, 0, 0.2, 0.2, hole=True),
        _filled((-0.15, -0.13), (1, -0.13), (1, 0.13), (-0.15, 0.13)),
        _filled((0.5, 0), (0.66, 0), (0.66, 0.42), (0.5, 0.42)),
        _filled((0.82, 0), (1, 0), (1, 0.5), (0.82, 0.5)),
    ],
    "mug": [
        _ellipse(0.5, 0.0, 0.45, 0.48),
        _ellipse(0.5, 0.0, 0.25, 0.28, hole=True),
        _filled((-0.85, -0.85), (0.5, -0.85), (0.42, 0.85), (-0.77, 0.85)),
    ],
    "butterfly": _butterfly(),
    "drop": _drop(),
    "umbrella": _umbrella(),
    "kite": [
        _filled((0, -1), (0.6, -0.3), (0, 0.55), (-0.6, -0.3)),
        _filled((0, 0.45), (0.08, 0.5), (0.3, 1), (0.12, 1), (-0.06, 0.55)),
        _filled((0.05, 0.72), (0.42, 0.6), (0.4, 0.85)),
        _filled((0.1, 0.76), (-0.25, 0.75), (-0.2, 0.98)),
    ],
}
