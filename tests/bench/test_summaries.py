"""A study's means and paired differences, and where they are written."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from bench.summaries import store, summaries

FOUND = pd.DataFrame(
    [
        {"method": method, "picture": picture, "depth": depth, "share": share + 0.1 * depth}
        for method, shares in {"ours": (0.6, 0.8), "theirs": (0.5, 0.5)}.items()
        for picture, share in zip("ab", shares, strict=True)
        for depth in (1 / 3, 2 / 3, 1.0)
    ]
)


def test_means_by_method_and_differences_by_picture(tmp_path: Path) -> None:
    means, leads = summaries(FOUND, ["ours"], ["share"], ["share"])
    own = means.set_index(["method", "third"])["mean"]
    assert own["ours", "deep"] == pytest.approx(0.8) and own["theirs", "deep"] == pytest.approx(0.6)
    assert list(leads["less"].unique()) == ["theirs"]  # not ours less ours
    assert leads["lead"].tolist() == pytest.approx([0.2] * 3)
    assert leads["low"].tolist() == pytest.approx([0.1] * 3)  # the worse of two pictures
    store(tmp_path / "page.md", means, leads, "text")
    assert (tmp_path / "page.md").read_text() == "text"
    assert len(pd.read_csv(tmp_path / "page" / "means.csv")) == 6
    assert len(pd.read_csv(tmp_path / "page" / "leads.csv")) == 3
