"""The page of the method's knobs is made from the study's tables."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pandas as pd
import pytest

FOLDER = Path(__file__).parents[2] / "docs" / "method-study"
FILE = FOLDER / "knobs.py"


@pytest.fixture(scope="module")
def knobs():
    spec = spec_from_file_location("knobs", FILE)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
