"""The stage on small scenes: one row a unit, and what must hold of a single inverse."""

import numpy as np
import pandas as pd
import pytest

from naflow.errors import BadInput
from pipeline import invert as stage


@pytest.fixture
def cfg(config, tmp_path, untrained):
    return lambda *more: config(
        "explain.pictures=4", "explain.batch=2", f"drawings={tmp_path}/inverses", *more
    )


def test_a_row_a_block(cfg):
    table = pd.read_csv(stage.invert(cfg("method=naflow_damped")))
    assert table["unit"].tolist() == [
        *("layer1.0.add", "layer1.1.add", "layer2.0.add", "layer2.1.add"),
        *("layer3.0.add", "layer3.1.add"),  # layer4 has maps of a single pixel here
    ]
    assert table["layer"].tolist()[:2] == ["maxpool", "layer1.0"]
    assert (table["low"] <= table["lead"]).all() and (table["lead"] <= table["high"]).all()
    np.testing.assert_allclose(table["lead"], table["once"] - table["none"], atol=2e-4)
    # With nothing above it, the deepest inverse is the whole flow's.
    assert table["once"].iloc[-1] == table["whole"].iloc[-1]
    strided = table["unit"].isin(["layer2.0.add", "layer3.0.add"])
    assert (table["equations"][strided] <= 0.5).all() and (table["equations"] <= 1).all()


def test_damped_enough_the_inverse_is_the_activation(cfg):
    """And the map HiResCAM's, with every row kept."""
    table = pd.read_csv(
        stage.invert(cfg("method=naflow_damped", "method.preset=proximal", "+method.damping=1e4"))
    )
    np.testing.assert_allclose(table["once"], table["none"], atol=1e-3)
    assert (table["equations"] >= 0.5).all()


def test_what_inverts_nothing_is_refused(cfg):
    with pytest.raises(BadInput, match="HiResCAM inverts nothing"):
        stage.invert(cfg("method=hirescam"))
    with pytest.raises(BadInput, match="choose a finite damping"):
        stage.invert(cfg("method=naflow"))
