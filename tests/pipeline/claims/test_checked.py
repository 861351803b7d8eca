"""The claims on many photographs: as the figures check them, and for each picture alone."""

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf
from small_material import LAYERS, NAMES, material

from naflow.errors import BadInput
from pipeline.claims import checked as claimed
from pipeline.claims.checked import blocks, of_model
from pipeline.claims.claim import Claim
from pipeline.claims.inside import AheadInside

PICTURES = ("disc_test_000", "cross_test_000")
LAST = list(LAYERS)[-1]
METHODS = ["naflow", "naflow_released"]


@pytest.fixture
def found(scenes):
    """The last map of `naflow` is Grad-CAM's in the first picture alone."""

    def changed(method, layer, case):
        if layer != LAST or method not in ("naflow", "gradcam"):
            return None
        other = method == "naflow" and case.picture == PICTURES[1]
        return np.full((4, 4), 1.0 + other)

    return material(scenes, PICTURES, changed=changed).found


def table(found):
    return pd.DataFrame(of_model(found, METHODS, (200, 0.95, 0)))


def test_a_claim_is_checked_on_all_and_on_each(found):
    rows = table(found).set_index(["method", "claim"])
    row = rows.loc[("naflow", "The last map of NAFlow (selective) is Grad-CAM's.")]
    assert row["outcome"] == "**does not hold**"
    assert row["pictures"] == 2 and row["share"] == 0.5
    assert (row["low"], row["high"]) == (0, 1)


def test_each_method_has_each_claim(found):
    rows = table(found)
    assert rows.groupby("method").size().to_dict() == dict.fromkeys(METHODS, 3)
    assert set(rows["outcome"]) <= set(claimed.OUTCOMES.values())


def test_a_picture_alone_is_checked_by_itself(found):
    whole = claimed.material(found)
    claim: Claim = AheadInside("naflow", "gradcam", blocks(found, "naflow"))
    both = claim(whole).numbers["ratio"]["naflow"]
    each = [
        claim(claimed.alone(whole, one)).numbers["ratio"]["naflow"]
        for one in whole.selection.chosen
    ]
    for layer, mean in both.items():
        assert mean == pytest.approx(np.mean([one[layer] for one in each]), abs=1e-3)


def test_layers_that_a_method_lacks_are_left_out_of_its_own(found):
    every = blocks(found, "naflow")
    assert every and set(every) <= set(LAYERS)
    del found["naflow_released"].maps[every[0]]
    assert blocks(found, "naflow_released") == every[1:] and blocks(found, "naflow") == every


def test_the_page(found, tmp_path, monkeypatch):
    (tmp_path / "maps" / "small" / "gradcam").mkdir(parents=True)
    monkeypatch.setattr(claimed.maps, "load", lambda folder: found[folder.name])
    settings = {"results": str(tmp_path), "drawings": str(tmp_path / "claims"), "seed": 0}
    settings |= {"checked": METHODS, "study": {"resamples": 200, "confidence": 0.95}}
    text = claimed.checked(OmegaConf.create(settings)).read_text()
    numbers = pd.read_csv(tmp_path / "claims" / "claims.csv")
    assert "on 2 photographs" in text and "1 of 2: 0.50 [0.00, 1.00]" in text
    for told in numbers["told"]:
        assert told in text
    holds = (numbers[numbers["method"] == "naflow"]["outcome"] == "holds").sum()
    assert f"| {NAMES['naflow']} | {holds}, {3 - holds}, 0 |" in text


def test_no_maps_is_one_sentence(tmp_path):
    settings = {"results": str(tmp_path), "drawings": str(tmp_path), "checked": METHODS}
    with pytest.raises(BadInput, match="holds no maps of gradcam"):
        claimed.checked(OmegaConf.create(settings))
