"""How the names of classes are read."""

import re

NUMBER = re.compile(r"^(n\d{8} |\d{3}\.)(?=.)")  # of ImageNet's classes, and of CUB's


def spoken(label: str) -> str:
    """The words of a label: "tench" of "n01440764 tench", "Groove billed Ani" of
    "004.Groove_billed_Ani". A label without words is returned as it is."""
    return NUMBER.sub("", label).replace("_", " ")
