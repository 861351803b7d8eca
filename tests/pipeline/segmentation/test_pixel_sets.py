"""Sets of pixels by hand, and the deepest of them against scipy."""

import pytest
import torch
from scipy import ndimage

from naflow.errors import BadInput
from pipeline.segmentation.pixel_sets import KINDS, deepest, pixel_set


@pytest.fixture
def predicted():
    """A plus of class 2 around (5, 5), a small square of class 2, class 1 at the left."""
    numbers = torch.zeros(12, 14, dtype=torch.uint8)
    numbers[:, 0] = 1
    numbers[4:7, 2:9] = 2
    numbers[2:9, 4:7] = 2
    numbers[10:12, 12:14] = 2
    return numbers


def test_class_component_and_all(predicted):
    assert torch.equal(pixel_set("class", predicted, 2), predicted == 2)
    plus = predicted == 2
    plus[10:12] = False
    assert torch.equal(pixel_set("component", predicted, 2), plus)
    assert pixel_set("all", predicted, 2).all()


def test_corners_do_not_connect_and_the_first_of_equals_is_taken():
    diagonal = torch.eye(3, dtype=torch.uint8)
    assert pixel_set("component", diagonal, 1).nonzero().tolist() == [[0, 0]]


def test_point_is_deepest_inside(predicted):
    (where,) = pixel_set("point", predicted, 2).nonzero().tolist()
    assert where == [5, 5]


@pytest.mark.parametrize("seed", range(4))
def test_deepest_against_the_distance_transform(seed):
    mask = torch.rand(15, 15, generator=torch.Generator().manual_seed(seed)) < 0.93
    inside = ndimage.distance_transform_cdt(mask.numpy().copy(), "chessboard")
    framed = ndimage.distance_transform_cdt(
        torch.nn.functional.pad(mask, (1, 1, 1, 1)).numpy(), "chessboard"
    )[1:-1, 1:-1]
    assert inside.max() >= framed.max()  # beyond the picture nothing is inside
    row, column = deepest(mask)
    assert framed[row, column] == framed.max()


def test_box_is_a_part_of_that_around_the_component(predicted):
    whole = pixel_set("box", predicted, 2)
    assert whole.nonzero().min(0).values.tolist() == [2, 2]
    assert whole.nonzero().max(0).values.tolist() == [8, 8]
    assert whole.sum() == 49
    left = pixel_set("box", predicted, 2, [0, 0, 0.5, 1])
    assert left.nonzero()[:, 1].unique().tolist() == [2, 3, 4, 5]
    thin = pixel_set("box", predicted, 2, [0.99, 0.99, 1, 1])
    assert thin.nonzero().tolist() == [[8, 8]]


def test_a_class_that_is_absent_gives_empty_sets(predicted):
    for kind in KINDS:
        found = pixel_set(kind, predicted, 7)
        assert found.dtype == torch.bool
        assert found.shape == predicted.shape
        assert found.all() if kind == "all" else not found.any()


def test_refusals(predicted):
    with pytest.raises(BadInput, match=r"no pixel set 'pont'.*'point'"):
        pixel_set("pont", predicted, 2)
    with pytest.raises(BadInput, match="give x0 < x1"):
        pixel_set("box", predicted, 2, [0.5, 0, 0.5, 1])
