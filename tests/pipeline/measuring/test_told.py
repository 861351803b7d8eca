"""The page of a study: its numbers and sentences are those of the tables."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from naflow.errors import BadInput
from pipeline.measuring.columns import BASIC, EVERY, measured
from pipeline.measuring.thirds import THIRDS, by_size
from pipeline.measuring.told import sentence, sentences, told_of, write


def leads(measure: str, *intervals: tuple[float, float]) -> pd.DataFrame:
    """Of `sglrp`, at the three thirds."""
    rows = [
        {"model": "net", "less": "sglrp", "measure": measure, "third": third}
        | {"lead": (low + high) / 2, "low": low, "high": high}
        for third, (low, high) in zip(THIRDS, intervals, strict=True)
    ]
    return pd.DataFrame(rows)


@pytest.fixture
def means() -> pd.DataFrame:
    values = dict.fromkeys(EVERY, 0.5) | {"redrawn_empty": 0.74, "redrawn_rank": 0.05}
    rows = [
        {"model": "net", "method": method, "third": third, "measure": measure}
        | {"pictures": 9, "mean": value + (0.2 if third == "deep" and measure == "share" else 0)}
        for method in ("sglrp", "tested")
        for measure, value in values.items()
        for third in THIRDS
    ]
    return pd.DataFrame(rows)


def test_an_interval_without_zero_is_ahead_or_behind() -> None:
    (told,) = sentences(leads("share", (0.1, 0.2), (0.1, 0.2), (0.1, 0.2)), "tested")
    assert told.startswith(
        "Localisation: `tested` is at every depth ahead of `sglrp` (+0.15 [+0.10"
    )
    (told,) = sentences(leads("own", (-0.2, -0.1), (-0.1, 0.1), (0.1, 0.2)), "tested")
    assert (
        "in the shallow third behind, in the middle third level with and in the deep third" in told
    )


def test_a_lower_correlation_is_ahead() -> None:
    (told,) = sentences(leads("redrawn_rank", *[(-0.4, -0.2)] * 3), "tested")
    assert "is at every depth ahead of `sglrp` (+0.30 [+0.20, +0.40]" in told


def test_a_third_without_a_layer_that_was_judged_is_not_told() -> None:
    few = leads("gain", (0.1, 0.2), (0.1, 0.2), (0.1, 0.2))
    (told,) = sentences(few[few["third"] != "middle"], "tested")
    assert (
        "is in the shallow and deep third ahead of `sglrp` (+0.15 [+0.10, +0.20]; +0.15 [" in told
    )
    assert "middle" not in told and "nan" not in told


def test_the_sentence_on_a_random_last_layer(means: pd.DataFrame) -> None:
    told = sentence(means, "tested")
    assert "74 % of the maps of `tested` are empty" in told
    assert "(the trained network's by 0.50 to 0.70)" in told and told.endswith("by 0.05.")


def test_the_page_has_all_four_questions(means: pd.DataFrame) -> None:
    area = pd.DataFrame(
        [
            {"picture": picture, "depth": depth, "area": area, "share": 0.6, "ratio": 0.6 / area}
            for picture, area in (("a", 0.05), ("b", 0.2), ("c", 0.4))
            for depth in (0.3, 0.6, 1.0)
        ]
    )
    sizes = by_size(area)
    assert set(sizes["size"]) == {"all", "small", "medium", "large"}
    small = sizes[sizes["size"] == "small"]
    assert small["median_ratio"].tolist() == pytest.approx([12] * 3)
    both = pd.concat([sizes.assign(model="net", method=method) for method in ("tested", "sglrp")])
    page = told_of(means, leads("share", *[(0.1, 0.2)] * 3), both, "tested", "published")
    assert "9 pictures, 9 pairs" in page and "| `tested` | 0.50 0.50 0.70 |" in page
    assert "small (1) | medium (1) | large (1) | all (3)" in page
    assert sentence(means, "tested") in page


def test_a_similarity_is_asked_for_another_reference(means: pd.DataFrame) -> None:
    means.loc[means["measure"].str.startswith("redrawn"), "mean"] = float("nan")
    both = pd.concat([leads(name, *[(0.1, 0.2)] * 3) for name in ("share", "absent_rank")])
    page = told_of(means, both, None, "tested", "published")
    assert "random reference: rank correlation" in page and "| reference: empty |" in page
    assert "Sanity (an absent class): `tested` is" not in page and "random last" not in page
    assert "absent" not in page.replace("random reference", "")


def test_what_was_not_asked_is_not_told() -> None:
    assert measured([pd.DataFrame({"ratio": [1.0]})]) == [*BASIC]
    asked = pd.DataFrame({"empty": [0.0]})
    assert measured([asked]) == [*EVERY] and measured([asked, pd.DataFrame()]) == [*BASIC]


def test_a_page_is_written_from_the_tables_alone(means: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"means\.csv: there is no such file"):
        write(tmp_path / "study")
    (tmp_path / "study").mkdir()
    known = means[means["measure"].isin(BASIC)].copy()
    known.loc[known["measure"] == "own", "mean"] = float("nan")
    known.to_csv(tmp_path / "study" / "means.csv", index=False)
    unknown = leads("own", *[(float("nan"), float("nan"))] * 3)
    pd.concat([leads("gain", *[(0.1, 0.2)] * 3), unknown]).to_csv(
        tmp_path / "study" / "leads.csv", index=False
    )
    page = write(tmp_path / "study").read_text()
    assert page.startswith("# `tested` beside other methods: study")
    assert "nan" not in page and "lass sensitivity" not in page and "sizes.csv" not in page
    assert "Faithfulness: `tested` is at every depth ahead of `sglrp`" in page


def test_tables_that_are_not_there_are_a_sentence_on_the_command_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pipeline.measuring.told", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "means.csv: there is no such file" in done.stderr
    assert "Traceback" not in done.stderr
