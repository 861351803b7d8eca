"""Every kind of figure: words from the data, all of it readable, nothing over anything else."""

import numpy as np
import pytest
from small_material import LAYERS, material, outside, overlapping, sizes, words

from naflow import plot
from naflow.errors import BadInput
from pipeline.claims.claim import Verdict
from pipeline.figures import lines, pairs, profile, strips
from pipeline.figures.page import WIDTH

METHODS = ["gradcam", "naflow_released", "naflow_damped", "naflow", "hirescam"]
PAIRS = [("disc_test_000", "cross_test_001"), ("cross_test_002", "disc_test_002")]
SUPPORT = ("cross_test_001", "disc_test_001", "key_test_000")
CLAIMS = [
    Verdict("The sky is blue.", True, "By looking up", "Blue 0.9"),
    Verdict("Pigs fly.", False, "By waiting", "Height 0.0 " + "and still nothing at all " * 12),
    Verdict("The key fits.", None, "By trying", "There is no lock"),
]
KINDS = {
    "strips": (strips.draw, {}),
    "profile": (profile.draw, {}),
    "pairs": (pairs.draw, {"cases": PAIRS}),
    "few-shot": (pairs.draw, {"cases": PAIRS, "support": SUPPORT}),
}


def drawn(kind, root, claims=(), methods=METHODS, layers=("all",), **more):
    draw, settings = KINDS[kind]
    shown = material(root, **settings | more)
    return shown, draw(shown, claims, methods, layers)


@pytest.mark.parametrize("kind", KINDS)
def test_everything_can_be_read(scenes, kind):
    _, found = drawn(kind, scenes, CLAIMS)
    assert found.figure.get_size_inches()[0] == WIDTH
    assert min(sizes(found.figure)) >= 5
    assert outside(found.figure) == []
    assert overlapping(found.figure) == []


@pytest.mark.parametrize("kind", KINDS)
def test_words_come_from_the_data(scenes, kind):
    shown, found = drawn(kind, scenes, CLAIMS)
    written = words(found.figure)
    for word in ("NAFlow", "(damped)", "Grad-CAM", "layer1", "16×16", "disc", "cross", "small"):
        assert word in written, word
    for view in shown.views:
        assert view.case.picture in written
        assert view.case.picture in found.caption
        if view.case.reference:
            assert f"beside {view.case.reference}" in found.caption
            assert f"cosine {view.confidence:.3f}" in found.caption
    assert written.count("null hyp.") == 1 * (
        len(shown.views) if kind in ("strips", "profile") else 2
    )
    assert "HiResCAM of the same layer is the null hypothesis" in found.caption
    assert plot.CONVENTION in found.caption
    assert "relative residual" in found.caption
    assert "the first ones (30 decided)" in found.caption
    assert ", ".join(LAYERS) in found.caption
    assert found.title.startswith("Attention flows of small: Grad-CAM, NAFlow (released), NAFlow")
    assert "NAFlow (released): as the authors' code computes it" in found.caption
    assert "NAFlow (selective): the library's default" in found.caption
    for outcome, claim in zip(("holds:", "does not hold:", "not checked:"), CLAIMS, strict=True):
        assert outcome in written
        assert claim.claim in written


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_for_each_flow_and_a_panel_for_each_layer(scenes, kind):
    shown, found = drawn(
        kind, scenes, methods=["naflow_damped", "layercam"], layers=["relu", "layer2.0"]
    )
    flows = 2 * (len(shown.views) + len(shown.references))
    rows = [ax for ax in found.figure.axes if len(ax.images) == 2]
    assert len(rows) == flows
    outlined = [ax for ax in rows if len(ax.collections) == 2]
    assert len(outlined) == flows
    assert found.numbers["layers"] == [
        {"name": "relu", "size": [16, 16]},
        {"name": "layer2.0", "size": [4, 4]},
    ]
    residual = found.numbers["residuals"]["naflow_damped"][" ~ ".join(shown.views[0].case.pictures)]
    assert residual == {"relu": 0.1, "layer2.0": 0}
    assert "0.10" in words(found.figure)
    assert "0.00" not in words(found.figure)  # an exact inverse has no number


def test_without_the_null_hypothesis_nothing_is_said_of_it(scenes):
    _, found = drawn("strips", scenes, methods=["naflow", "gradcam"])
    assert "null" not in (found.caption + words(found.figure)).lower()
    _, found = drawn("strips", scenes, methods=["naflow", "hirescam"])
    assert "HiResCAM of the same layer is the null hypothesis" in found.caption
    _, found = drawn("strips", scenes, methods=["naflow", "hirescam", "layercam"])
    assert "HiResCAM and LayerCAM of the same layer are the null hypothesis" in found.caption


def test_without_masks_no_outline_and_no_curves(scenes):
    _, found = drawn("profile", scenes, masks=False)
    assert not any(ax.collections for ax in found.figure.axes)
    assert "outline" not in found.caption
    assert "Curves" not in found.caption
    assert found.numbers["ratio"] == {}
    assert "chance" not in words(found.figure)


def test_curves_are_the_shares(scenes):
    shown, found = drawn("profile", scenes, cases=["disc_test_000"])
    (ax,) = (ax for ax in found.figure.axes if "chance" in [text.get_text() for text in ax.texts])
    curves = {line.get_color(): line.get_ydata() for line in ax.lines if len(line.get_ydata()) == 4}
    for method, ratios in found.numbers["ratio"].items():
        np.testing.assert_allclose(
            curves[lines.own(method)["color"]], list(ratios.values()), atol=1e-4
        )
    # The last map has 4 x 4 values, each of them an 8 x 8 tile but for the blur of resizing.
    tiles = np.kron(shown.views[0].maps["naflow"]["layer2.0"], np.ones((8, 8)))
    mask = shown.views[0].mask
    rough = (tiles * mask).sum() / tiles.sum() / mask.mean()
    assert found.numbers["ratio"]["naflow"]["layer2.0"] == pytest.approx(rough, abs=0.15)


def test_the_rule_that_was_not_met_is_told(scenes):
    _, found = drawn("pairs", scenes, met=False)
    assert "Too few pictures satisfy this rule: the nearest to it are shown." in found.caption
    assert "none fits the rule" in words(found.figure)
    _, found = drawn("pairs", scenes)
    assert "nearest" not in found.caption + words(found.figure)


def test_decisions_are_told_rightly(scenes):
    cases = [("disc_test_000", "cross_test_001"), ("cross_test_002", "cross_test_000")]
    _, found = drawn("pairs", scenes, cases=cases)
    assert "decided cross, wrong" in words(found.figure)
    assert "decided cross, right" in words(found.figure)
    assert "decided cross, though it shows disc, cosine 0.900" in found.caption


def test_match_and_own_class_are_marked_in_the_support_set(scenes):
    _, found = drawn("few-shot", scenes, cases=PAIRS[:1])
    framed = {
        spine.get_edgecolor()
        for ax in found.figure.axes
        for spine in ax.spines.values()
        if spine.get_visible() and spine.get_linewidth() > 1
    }
    assert len(framed) == 2  # the match's colour and the own class's
    assert "own" in words(found.figure)
    assert "the support set" in found.caption
    assert "support" not in drawn("pairs", scenes)[1].caption


def test_half_of_the_weights(scenes):
    _, found = drawn("pairs", scenes)
    assert found.numbers["half_of_the_weights"]["disc_test_000"] == {"channels": 1, "of": 4}
    assert "half of Σw in 1 of D = 4" in words(found.figure)
    assert pairs.half(np.array([0.1, 0.3, 0.2, 0.4])) == 2
    assert pairs.half(np.full(10, 0.1)) == 5


def test_names_are_checked(scenes):
    with pytest.raises(BadInput, match="no layer 'layer9'"):
        drawn("strips", scenes, layers=["layer9"])
    with pytest.raises(BadInput, match="no method 'lrp'"):
        drawn("pairs", scenes, methods=["lrp"])
