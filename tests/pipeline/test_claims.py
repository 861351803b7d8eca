"""Claims: what holds, what does not, what cannot be checked; numbers against other ways to them."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from scipy.stats import spearmanr
from small_material import LAYERS, material

from naflow.errors import BadInput
from pipeline.claims.background import BackgroundFalls, rank_correlation
from pipeline.claims.inside import AheadInside
from pipeline.claims.last import LastIsGradCAM, difference
from pipeline.claims.parts import SIDE, SameParts, in_box
from pipeline.claims.stability import Steadier, ends, steadiness
from pipeline.figures.extent import by_box, extent

NAMES = list(LAYERS)


# --- the last map --------------------------------------------------------------------------------


def last(apart):
    """Maps whose last one differs by `apart` of the maximum, 4, from Grad-CAM's."""

    def changed(method, layer, case):
        if layer != NAMES[-1] or method not in ("naflow", "gradcam"):
            return None
        attention = np.full((4, 4), 4.0)
        attention[1, 2] -= 4 * apart * (method == "naflow")
        return attention

    return changed


@pytest.mark.parametrize(("apart", "holds"), [(0, True), (0.0009, True), (0.0011, False)])
def test_last_map(scenes, apart, holds):
    verdict = LastIsGradCAM("naflow", 0.001)(material(scenes, changed=last(apart)))
    assert verdict.holds is holds
    assert verdict.numbers["layer"] == "layer2.0"
    assert verdict.numbers["difference"]["disc_test_000"] == pytest.approx(apart, abs=1e-6)


def test_an_empty_map_beside_one_that_is_not(scenes):
    def changed(method, layer, case):
        return np.zeros((4, 4)) if method == "gradcam" and layer == NAMES[-1] else None

    verdict = LastIsGradCAM("naflow", 0.001)(material(scenes, changed=changed))
    assert verdict.holds is False
    assert verdict.numbers["difference"]["disc_test_000"] is None


def test_difference_of_empty_maps():
    nothing, something = np.zeros((2, 2)), np.ones((2, 2))
    assert difference(nothing, nothing) == 0
    assert difference(something, nothing) == np.inf
    assert difference(something, 4 * something) == 0.75


# --- the background ------------------------------------------------------------------------------


def on_object(shares, root, others=0.5):
    """NAFlow's maps with a given share on the object at each layer, the other methods' with one."""
    base = material(root)
    masks = {view.case: view.mask for view in base.views}

    def changed(method, layer, case):
        share = shares[NAMES.index(layer)] if method == "naflow" else others
        mask = masks[case]
        return np.where(mask, share / mask.sum(), (1 - share) / (~mask).sum())

    return changed


@pytest.mark.parametrize(
    ("shares", "holds"),
    [
        ((0.2, 0.4, 0.5, 0.9), True),
        ((0.9, 0.5, 0.4, 0.2), False),
        ((0.5, 0.1, 0.2, 0.3), False),  # the trend is right, the ends are not
        ((0.2, 0.9, 0.8, 0.21), True),
    ],
)
def test_background(scenes, shares, holds):
    verdict = BackgroundFalls("naflow", NAMES)(material(scenes, changed=on_object(shares, scenes)))
    found = list(verdict.numbers["share"]["naflow"].values())
    np.testing.assert_allclose(found, [1 - share for share in shares], atol=1e-4)
    trend = spearmanr(range(4), found).statistic
    assert verdict.numbers["rank_correlation"]["naflow"] == pytest.approx(trend, abs=1e-4)
    assert verdict.holds is bool(trend < 0 and found[-1] < found[0]) is holds
    assert f"{found[0]:.2f} at relu" in verdict.told


@pytest.mark.parametrize("values", [[3, 1, 2, 2], [1, 1], [5], [2, np.nan, 1, 0]])
def test_rank_correlation(values):
    values = np.array(values, float)
    kept = values[~np.isnan(values)]
    if len(kept) < 2 or np.ptp(kept) == 0:
        assert np.isnan(rank_correlation(values))
    else:
        want = spearmanr(range(len(kept)), kept).statistic
        assert rank_correlation(values) == pytest.approx(want)


def test_empty_maps_are_left_out_of_the_mean(scenes):
    full = on_object((0.2, 0.4, 0.5, 0.9), scenes)

    def changed(method, layer, case):
        found = full(method, layer, case)
        return 0 * found if case.picture == "disc_test_000" and layer == "relu" else found

    shares = BackgroundFalls("naflow", NAMES)(material(scenes, changed=changed)).numbers["share"][
        "naflow"
    ]
    assert shares["relu"] == pytest.approx(0.8, abs=1e-4)

    def nothing(method, layer, case):
        return np.zeros((2, 2)) if layer == "relu" else None

    verdict = BackgroundFalls("naflow", NAMES)(material(scenes, changed=nothing))
    assert verdict.numbers["share"]["naflow"]["relu"] is None
    assert verdict.holds is False


CLAIMS_ON_MASKS = [BackgroundFalls("naflow", NAMES), AheadInside("naflow", "gradcam", NAMES)]


@pytest.mark.parametrize("claim", CLAIMS_ON_MASKS, ids=lambda claim: type(claim).__name__)
def test_without_masks_nothing_is_claimed(scenes, claim):
    verdict = claim(material(scenes, masks=False))
    assert verdict.holds is None
    assert "No picture shown has a mask or box" in verdict.told
    assert verdict.outcome == "not checked:"


@pytest.mark.parametrize("claim", CLAIMS_ON_MASKS, ids=lambda claim: type(claim).__name__)
def test_where_no_mask_is_published_the_box_is_the_object_and_it_is_said(scenes, claim):
    base = material(scenes, masks="box")
    view = base.views[0]
    (x0, y0, x1, y1), cover = view.box, extent(view)
    assert not view.mask.any()
    assert by_box(view)
    ys, xs = np.nonzero(cover)
    assert abs(len(ys) - (x1 - x0) * (y1 - y0)) <= 2 * (x1 - x0 + y1 - y0)
    assert x0 - 1 <= xs.min() and xs.max() <= x1 and y0 - 1 <= ys.min() and ys.max() <= y1

    def changed(method, layer, case):
        where = {one.case: extent(one) for one in base.views}[case]
        return np.where(where, 0.75 / where.sum(), 0.25 / (~where).sum())

    verdict = claim(material(scenes, masks="box", changed=changed))
    assert verdict.holds is not None
    assert "whole box in 2 of 2 pictures" in verdict.reading
    assert "whole box" not in claim(material(scenes)).reading
    if isinstance(claim, BackgroundFalls):
        assert verdict.numbers["share"]["naflow"]["relu"] == pytest.approx(0.25, abs=1e-4)
    else:
        areas = [0.75 / extent(one).mean() for one in base.views]
        assert verdict.numbers["ratio"]["naflow"]["relu"] == pytest.approx(np.mean(areas), abs=1e-3)


# --- inside the network --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shares", "ahead"),
    [((0.6, 0.7, 0.8, 0.1), 3), ((0.6, 0.4, 0.8, 0.9), 2), ((0.5, 0.5, 0.5, 0.5), 0)],
)
def test_inside(scenes, shares, ahead):
    shown = material(scenes, changed=on_object(shares, scenes))
    verdict = AheadInside("naflow", "gradcam", NAMES)(shown)
    assert sum(verdict.numbers["ahead"].values()) == ahead
    assert verdict.holds is (ahead == 3)  # the last layer does not count
    want = np.mean([shares[0] / view.mask.mean() for view in shown.views])
    assert verdict.numbers["ratio"]["naflow"]["relu"] == pytest.approx(want, abs=1e-4)
    assert f"Ahead at {ahead} of 3 layers" in verdict.told


# --- stability -----------------------------------------------------------------------------------

RAMP = np.add.outer(np.arange(16.0), np.zeros(16))


def steady(method, layer, case):
    return RAMP


def unsteady(method, layer, case):
    """Upside down at every second layer."""
    return RAMP[:: (-1) ** NAMES.index(layer)]


@pytest.mark.parametrize(
    ("own", "other", "holds"), [(unsteady, steady, True), (steady, unsteady, False)]
)
def test_stability(scenes, own, other, holds):
    beside = material(scenes, changed=other, model="deep")
    shown = material(scenes, changed=own, beside=beside)
    layers = {"small": NAMES, "deep": NAMES}
    verdict = Steadier("naflow", "deep", "small", layers)(shown)
    assert verdict.holds is holds
    of_small = verdict.numbers["small"]["cross_test_000"]["naflow"]["layers"]
    assert of_small == pytest.approx(-1 if own is unsteady else 1)
    assert "On cross_test_000" in verdict.told
    # The same claim on the other model's own figure.
    turned = material(scenes, changed=other, model="deep", beside=shown)
    assert Steadier("naflow", "deep", "small", layers)(turned).numbers == verdict.numbers


def test_stability_is_the_mean_of_correlations(scenes):
    view = material(scenes).views[0]
    flow = [torch.from_numpy(view.maps["naflow"][name]).double() for name in NAMES]
    found = []
    for a, b in pairwise(flow):
        a = a.reshape(len(b), len(a) // len(b), len(b), -1).mean((1, 3))
        found.append(np.corrcoef(a.flatten(), b.flatten())[0, 1])
    assert steadiness(view, "naflow", NAMES) == pytest.approx(np.mean(found), abs=1e-4)


def test_ends_of_stages():
    assert ends(["relu", "layer1.0", "layer1.1", "layer2.0"]) == ["relu", "layer1.1", "layer2.0"]


def test_a_claim_about_a_model_that_is_not_there(scenes):
    with pytest.raises(BadInput, match="a claim is about third"):
        Steadier("naflow", "third", "small", {"small": NAMES})(material(scenes))


# --- parts ---------------------------------------------------------------------------------------

PAIR = ("disc_test_000", "disc_test_001")


def spot(corner, root):
    """A spot in a corner of each object's box, wherever the box is; `corner` of query and match."""
    shown = material(root, [PAIR])
    boxes = {view.case: view.box for view in (*shown.views, *shown.references)}

    def changed(method, layer, case):
        x0, y0, x1, y1 = boxes[case]
        right, low = corner[case.picture != PAIR[0]]
        y, x = np.mgrid[:32, :32] + 0.5
        x = (x - x0) / (x1 - x0) - 0.25 - 0.5 * right
        y = (y - y0) / (y1 - y0) - 0.25 - 0.5 * low
        return np.exp(-20 * (x**2 + y**2))

    return changed


SAME, APART = ((0, 0), (0, 0)), ((0, 0), (1, 1))


@pytest.mark.parametrize(("own", "other", "holds"), [(APART, SAME, True), (SAME, APART, False)])
def test_parts(scenes, own, other, holds):
    beside = material(scenes, [PAIR], changed=spot(other, scenes), model="good")
    shown = material(scenes, [PAIR], changed=spot(own, scenes), beside=beside)
    verdict = SameParts("naflow", same="good", different="small")(shown)
    assert verdict.holds is holds
    small, good = (verdict.numbers[name]["disc_test_000"] for name in ("small", "good"))
    agreeing, apart = (good, small) if holds else (small, good)
    assert agreeing > 0.95
    assert apart < 0.1


def test_parts_without_boxes(scenes):
    beside = material(scenes, [PAIR], masks=False, model="good")
    verdict = SameParts("naflow", "good", "small")(
        material(scenes, [PAIR], masks=False, beside=beside)
    )
    assert verdict.holds is None
    assert verdict.told == "disc_test_000 has no box or mask"


def test_in_box_is_a_crop_resized():
    attention = np.random.default_rng(0).random((32, 32))
    want = torch.nn.functional.interpolate(
        torch.from_numpy(attention[4:20, 8:29])[None, None], (SIDE, SIDE), mode="bilinear"
    )
    found = in_box(attention, np.array([8.2, 3.9, 28.6, 20.4]), (32, 32))
    np.testing.assert_allclose(found, want[0, 0], atol=1e-12)


# --- all of them ---------------------------------------------------------------------------------


def test_every_claim_of_the_figures_can_be_made(config):
    figures = config().figures
    claims = [claim for figure in figures.values() for claim in figure.claims]
    assert len(claims) > 10
    for claim in claims:
        for method in config().checked:
            assert callable(instantiate(claim, method=method))
