"""How the curve of each method is drawn, in every figure the same."""

from collections.abc import Iterable
from typing import Any

from naflow.methods import METHODS

OTHERS = ("#000000", "#332288", "#882255", "#44aa99", "#117733")  # of none of METHODS


def styles(methods: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Method -> its style, for matplotlib; those that naflow.methods does not know, as where one
    knob was turned, take a colour each, in order."""
    methods = list(methods)
    others = [method for method in methods if method not in METHODS]
    free = {m: {"color": OTHERS[n % len(OTHERS)], "marker": "."} for n, m in enumerate(others)}
    return {method: free.get(method) or own(method) for method in methods}


def own(method: str) -> dict[str, Any]:
    """The style of a method of METHODS: NAFlow above the others, controls below them."""
    known = METHODS[method]
    above = 4 if known.target == "naflow.NAFlow" else 1 if known.control else 3
    return {
        "color": known.colour,
        "marker": known.marker,
        "linestyle": known.dash,
        "zorder": above,
    }
