"""The table of similarity models side by side is made from the study's tables."""

import pandas as pd
import pytest
from study_script import FOLDER, script


@pytest.fixture(scope="module")
def embeddings():
    return script("embeddings")


@pytest.fixture
def means() -> pd.DataFrame:
    return pd.read_csv(FOLDER / "contrast" / "means.csv")


def test_the_page_is_of_the_tables(embeddings, means) -> None:
    assert (FOLDER / "embeddings.md").read_text("utf-8") == embeddings.page(means)


def test_a_network_without_a_name_is_not_left_out(embeddings, means) -> None:
    means.loc[0, "model"] = "resnet101"
    with pytest.raises(KeyError, match="resnet101"):
        embeddings.page(means)
