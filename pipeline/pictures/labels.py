"""Class names as words."""

import re

NUMBER = re.compile(r"^(n\d{8} |\d{3}\.)(?=.)")  # before the names of ImageNet's and CUB's classes


def spoken(label: str) -> str:
    """Return the words of a label: "tench" for "n01440764 tench", "Groove billed Ani" for
    "004.Groove_billed_Ani". A label without words is returned as it is."""
    return NUMBER.sub("", label).replace("_", " ")
