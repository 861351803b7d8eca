"""The measures: their titles, and whether more or less is better."""

from collections.abc import Iterable
from typing import NamedTuple

import pandas as pd


class Measure(NamedTuple):
    """The name of one measure.

    title  as title of a table
    words  in a sentence
    sign   1 if more is better, -1 if less is
    """

    title: str
    words: str
    sign: int = 1


#: The measures of every study.
BASIC = {
    "ratio": Measure(
        "Localisation (share on the object over the object's share of the picture)",
        "localisation (ratio)",
    ),
    "gain": Measure("Faithfulness (insertion less deletion)", "faithfulness"),
    "own": Measure(
        "Class sensitivity (share on the picture asked for, less that for the other)",
        "class sensitivity",
    ),
}
#: The measures of studies that include the sanity checks.
QUESTIONED = {
    "share": Measure("Localisation (share on the object)", "localisation"),
    "redrawn_rank": Measure(
        "Sanity: rank correlation with the map of a random last layer",
        "sanity (a random last layer)",
        -1,
    ),
    "absent_rank": Measure(
        "Sanity: rank correlation with the map for a class that is not there",
        "sanity (an absent class)",
        -1,
    ),
    "redrawn_empty": Measure("Maps of a random last layer that are empty", "empty"),
    "absent_empty": Measure("Maps for an absent class that are empty", "empty"),
    "empty": Measure("Maps for the predicted class that are empty", "empty", -1),
    "redrawn_share": Measure("Share on the object with a random last layer", "that share", -1),
    "absent_share": Measure("Share on the object for an absent class", "that share", -1),
}
EVERY = BASIC | QUESTIONED


def measured(tables: Iterable[pd.DataFrame]) -> list[str]:
    """Return the names of the measures in these tables."""
    questioned = all("empty" in table and table["empty"].notna().any() for table in tables)
    return [*BASIC, *(QUESTIONED if questioned else ())]
