"""Thirds of the depth, and who is ahead, on numbers that can be added up by hand."""

import numpy as np
import pandas as pd
import pytest

from pipeline.measuring import thirds


def table(values: dict[str, list[float]]) -> pd.DataFrame:
    """picture -> `ratio` at the layers, shallow to deep."""
    return pd.DataFrame(
        [
            {"picture": picture, "depth": (number + 1) / len(ratios), "ratio": ratio}
            for picture, ratios in values.items()
            for number, ratio in enumerate(ratios)
        ]
    )


def test_layers_fall_into_thirds() -> None:
    wide = thirds.by_third(table({"a": [1, 2, 3, 4, 5, 6]}), ["ratio"])
    assert wide.loc["a"].tolist() == [1.5, 3.5, 5.5]


def test_undefined_maps_are_left_out_and_counted() -> None:
    found = thirds.means(
        table({"a": [1, np.nan, 3], "b": [3, np.nan, np.nan]}), ["ratio"], 200, 0.95, 0
    )
    assert found["pictures"].tolist() == [2, 0, 1]
    assert found["mean"].tolist() == pytest.approx([2, np.nan, 3], nan_ok=True)


def test_a_lead_is_paired_over_pictures() -> None:
    pictures = [f"{number}" for number in range(12)]
    other = table({p: [float(number)] * 3 for number, p in enumerate(pictures)})
    ours = other.assign(ratio=other["ratio"] + other["depth"])
    found = thirds.lead(ours, other, ["ratio"], 200, 0.95, 0).set_index("third")
    assert found["lead"].tolist() == pytest.approx([1 / 3, 2 / 3, 1])
    assert (found["high"] - found["low"]).max() < 1e-9  # every picture says the same
    assert (found["p"] < 0.01).all()
    none = thirds.lead(ours, ours, ["ratio"], 200, 0.95, 0)
    assert (none["lead"] == 0).all() and (none["p"] == 1).all()
