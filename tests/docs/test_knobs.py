"""The page of the method's knobs is made from the study's tables."""

import pandas as pd
import pytest
from study_script import FOLDER, script


@pytest.fixture(scope="module")
def knobs():
    return script("knobs")


@pytest.fixture(scope="module")
def inverses(knobs) -> dict[str, pd.DataFrame]:
    return {name: pd.read_csv(FOLDER / "inverses" / f"{name}.csv") for name in knobs.NETWORKS}


def test_the_page_is_of_the_tables(knobs, inverses) -> None:
    means = pd.read_csv(FOLDER / "knobs" / "means.csv")
    assert (FOLDER / "knobs.md").read_text("utf-8") == knobs.page(means, inverses)


def test_a_variant_without_a_name_is_not_left_out(knobs, inverses) -> None:
    means = pd.read_csv(FOLDER / "knobs" / "means.csv")
    means.loc[0, "method"] = "damped_7"
    with pytest.raises(KeyError, match="damped_7"):
        knobs.page(means, inverses)
