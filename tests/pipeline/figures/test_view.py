"""Views and material: each number is its own picture's, whichever model saw it."""

import numpy as np
import pytest
from small_material import LAYERS, material

from naflow.errors import BadInput
from pipeline.explanations.cases import Case
from pipeline.figures.view import bounds, nearest


def test_a_view_is_one_row_of_every_file(scenes):
    shown = material(scenes)
    view = shown.views[1]
    for method, maps in shown.found.items():
        for layer in LAYERS:
            np.testing.assert_array_equal(view.maps[method][layer], maps.maps[layer][1])
    assert view.case == Case("cross_test_000")
    assert (view.label, view.predicted) == ("cross", "disc")
    assert view.confidence == pytest.approx(0.6)
    assert view.residuals["naflow_damped"]["relu"] == pytest.approx(0.4)
    assert view.residuals["gradcam"] == {}
    assert view.picture.shape == (32, 32, 3)
    assert 0 <= view.picture.min() < view.picture.max() <= 1


def test_a_reference_is_seen_from_its_own_side(scenes):
    shown = material(scenes, [("disc_test_000", "cross_test_001")])
    (query,), (match,) = shown.views, shown.references
    assert match.case == query.case.turned
    assert match.label == "cross"
    np.testing.assert_array_equal(match.maps["naflow"]["relu"], shown.first.maps["relu"][1])
    assert shown.turned("small", query).case == match.case
    assert material(scenes).references == []


def test_the_second_model_may_have_found_another_reference(scenes):
    beside = material(scenes, [("disc_test_000", "disc_test_002")], model="other")
    shown = material(scenes, [("disc_test_000", "cross_test_001")], beside=beside)
    assert [view.case.reference for view in shown.of_model("other")] == ["disc_test_002"]
    assert [view.case.reference for view in shown.of_model("small")] == ["cross_test_001"]
    assert shown.turned("other", shown.of_model("other")[0]).label == "disc"


def test_nearest_case(scenes):
    found = material(scenes, [("disc_test_000", "disc_test_002")]).first
    asked = Case("disc_test_000", "disc_test_002")
    assert nearest(found, asked) == asked
    assert nearest(found, Case("disc_test_000", "cross_test_001")) == asked
    missing = Case("disc_test_001", "cross_test_001")
    with pytest.raises(BadInput, match="no picture 'disc_test_001'"):
        found.row(nearest(found, missing))


def test_boxes_are_those_of_the_index_or_else_around_the_mask(scenes):
    view = material(scenes).views[0]
    np.testing.assert_allclose(bounds(view.mask), view.box, atol=1.5)
    assert np.isnan(bounds(np.zeros((4, 4), bool))).all()
    mask = np.zeros((5, 6), bool)
    mask[1:3, 2:5] = True
    np.testing.assert_array_equal(bounds(mask), [2, 1, 5, 3])


def test_names_are_checked(scenes):
    shown = material(scenes)
    assert shown.layers(["all"]) == list(LAYERS)
    with pytest.raises(BadInput, match=r"no layer 'layer1\.2'\. Did you mean"):
        shown.layers(["layer1.2"])
    with pytest.raises(BadInput, match=r"no method 'nafow'\. Did you mean"):
        shown.methods(["nafow"])
