"""The line style of each method, the same in every figure."""

from collections.abc import Iterable
from typing import Any

from naflow.methods import METHODS

OTHERS = ("#000000", "#332288", "#882255", "#44aa99", "#117733")  # not used in METHODS


def styles(methods: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return method -> arguments for matplotlib's plot. Methods unknown to naflow.methods, such as
    variants with one setting changed, get one colour each, in order."""
    methods = list(methods)
    others = [method for method in methods if method not in METHODS]
    free = {m: {"color": OTHERS[n % len(OTHERS)], "marker": "."} for n, m in enumerate(others)}
    return {method: free.get(method) or own(method) for method in methods}


def own(method: str) -> dict[str, Any]:
    """Return the style of a method of METHODS: NAFlow is drawn above the others, controls below."""
    known = METHODS[method]
    above = 4 if known.target == "naflow.NAFlow" else 1 if known.control else 3
    return {
        "color": known.colour,
        "marker": known.marker,
        "linestyle": known.dash,
        "zorder": above,
    }
