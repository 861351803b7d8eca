"""How the curve of each method is drawn, in every figure the same."""

from typing import Any

LINES: dict[str, dict[str, Any]] = {
    "naflow": {"color": "#b10026", "marker": "o", "zorder": 4},
    "selective": {"color": "#54278f", "marker": "D", "zorder": 5},
    "gradcam": {"color": "#0072b2", "marker": "s", "zorder": 3},
    "hirescam": {"color": "0.35", "marker": "^", "linestyle": "--"},
    "layercam": {"color": "0.6", "marker": "v", "linestyle": ":"},
}
OTHERS = ("#009e73", "#e69f00", "#cc79a7", "#56b4e9", "#d55e00")  # safe for the colour-blind


def styles(methods: list[str]) -> dict[str, dict[str, Any]]:
    """Method -> its style; those without one of their own take a colour each, in order."""
    others = [method for method in methods if method not in LINES]
    free = {m: {"color": OTHERS[n % len(OTHERS)], "marker": "."} for n, m in enumerate(others)}
    return {method: (LINES | free)[method] for method in methods}
