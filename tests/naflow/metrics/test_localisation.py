"""Localisation: sums written out, chance levels, and what must not matter."""

from functools import partial
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import jaccard
from torch.nn.functional import interpolate

from naflow import Flow, metrics
from naflow.errors import BadInput

MEASURES = (
    metrics.energy_share,
    metrics.energy_ratio,
    metrics.background_share,
    metrics.interference,
    metrics.pointing_game,
    metrics.rank_accuracy,
    metrics.iou,
    metrics.best_iou,
)
ON_LAYERS = [partial(measure, grid="layer") for measure in MEASURES]
MAPS = torch.tensor([[[1.0, 2.0], [3.0, 4.0]], [[0.0, 0.0], [0.0, 5.0]]])
MASKS = torch.tensor([[[True, False], [False, True]], [[True, True], [False, False]]])

energies = arrays(np.float64, (3, 4), elements=st.floats(0, 1e3, width=32))
objects = arrays(bool, (6, 8)).filter(lambda mask: mask.any() and not mask.all())


def one(array):
    return torch.from_numpy(array)[None]


def close(found, *expected):
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


def test_sums_written_out():
    close(metrics.area(MASKS), 2 / 4, 2 / 4)
    close(metrics.energy_share(MAPS, MASKS), (1 + 4) / 10, 0 / 5)
    close(metrics.energy_ratio(MAPS, MASKS), 0.5 / 0.5, 0.0)
    close(metrics.background_share(MAPS, MASKS), (2 + 3) / 10, 1.0)
    close(metrics.interference(MAPS, MASKS), 0.5 / 0.5, 1.0 / 0.5)
    close(metrics.pointing_game(MAPS, MASKS), 1.0, 0.0)


def test_unequal_areas():
    corner = torch.tensor([[[True, False], [False, False]]])
    close(metrics.energy_ratio(MAPS[:1], corner), (1 / 10) / (1 / 4))
    close(metrics.interference(MAPS[:1], corner), (9 / 10) / (3 / 4))


def test_maps_are_resized_as_a_flow_stacks_them():
    maps, masks = torch.rand(2, 3, 3), torch.rand(2, 9, 12) > 0.5
    flow = Flow(["a"], {"a": maps}, torch.zeros(2), None, None, "none")
    large = flow.stack((9, 12))[:, 0].double()
    expected = [float(m[k].sum() / m.sum()) for m, k in zip(large, masks, strict=True)]
    found = metrics.energy_share(maps, masks)
    torch.testing.assert_close(found, torch.tensor(expected).double(), rtol=1e-5, atol=0)


def test_a_map_larger_than_its_mask_loses_nothing():
    """Plain bilinear sampling would step over this pixel."""
    fine = torch.zeros(1, 16, 16)
    fine[0, 0, 0] = 1
    masks = torch.zeros(1, 4, 4, dtype=torch.bool)
    masks[0, :2, :2] = True
    assert interpolate(fine[:, None], (4, 4), mode="bilinear").sum() == 0
    close(metrics.energy_share(fine, masks), 1.0)


@settings(deadline=None)
@given(objects)
def test_a_uniform_map_is_at_chance(mask):
    maps, masks = torch.full((1, 3, 5), 0.7), one(mask)
    close(metrics.energy_ratio(maps, masks), 1.0)
    close(metrics.interference(maps, masks), 1.0)
    for measure in MEASURES[4:]:
        close(measure(maps, masks), mask.mean())


@settings(deadline=None)
@given(objects)
def test_a_uniform_map_is_at_chance_on_a_grid_that_does_not_divide(mask):
    maps, masks = torch.full((1, 4, 5), 0.1), one(mask)
    ratio, rest, _, *others = [float(measure(maps, masks)) for measure in ON_LAYERS[1:]]
    interference = float(metrics.interference(maps, masks, grid="layer"))
    assert (ratio, interference) == pytest.approx((1, 1))
    assert others == pytest.approx([1 - rest] * 4)


@settings(deadline=None)
@given(objects)
def test_a_map_equal_to_the_mask_is_perfect(mask):
    maps = one(mask).float()
    close(metrics.energy_share(maps, one(mask)), 1.0)
    close(metrics.energy_ratio(maps, one(mask)), 1 / mask.mean())
    close(metrics.interference(maps, one(mask)), 0.0)
    for measure in MEASURES[4:]:
        close(measure(maps, one(mask)), 1.0)


@settings(deadline=None)
@given(objects)
def test_an_empty_map_scores_as_chance_and_is_told(mask):
    empty, flat = torch.zeros(1, 3, 4), torch.ones(1, 3, 4)
    assert metrics.empty(torch.cat([empty, flat])).tolist() == [True, False]
    for measure in [*MEASURES, *ON_LAYERS]:
        assert measure(empty, one(mask)) == measure(flat, one(mask)), measure


@settings(deadline=None)
@given(energies, objects, st.sampled_from([2.0**-30, 0.25, 8.0, 2.0**40]))
def test_scale_does_not_matter(energy, mask, factor):
    """By powers of two, so that not even a tie for the maximum is broken by rounding."""
    assume(energy.max() > 1e-3)
    for measure in [*MEASURES, *ON_LAYERS]:
        before, after = (measure(one(m), one(mask)) for m in (energy, energy * factor))
        torch.testing.assert_close(after, before)


@settings(deadline=None)
@given(energies, objects)
def test_object_and_background_share_the_energy(energy, mask):
    assume(energy.max() > 1e-3)
    inner = metrics.energy_share(one(energy), one(mask))
    outer = metrics.energy_share(one(energy), one(~mask))
    torch.testing.assert_close(inner + outer, torch.ones(1).double())
    torch.testing.assert_close(outer, metrics.background_share(one(energy), one(mask)))


@settings(deadline=None)
@given(objects, objects)
def test_an_image_does_not_depend_on_its_batch(first, second):
    maps, masks = torch.rand(2, 3, 4), torch.from_numpy(np.stack([first, second]))
    for measure in [*MEASURES, *ON_LAYERS]:
        alone = torch.cat([measure(maps[i : i + 1], masks[i : i + 1]) for i in range(2)])
        torch.testing.assert_close(measure(maps, masks), alone)


def test_the_pointing_game_counts_ties_and_near_misses():
    maps = torch.zeros(1, 9, 9)
    maps[0, 4, 4] = 1
    masks = torch.zeros(1, 9, 9, dtype=torch.bool)
    masks[0, 7, 8] = True  # 3 rows and 4 columns away: 5 pixels
    found = [float(metrics.pointing_game(maps, masks, tolerance)) for tolerance in (0, 4, 5)]
    assert found == [0, 0, 1]
    maps[0, 7, 8] = maps[0, 0, 0] = maps[0, 0, 1] = 1
    close(metrics.pointing_game(maps, masks), 1 / 4)


@settings(deadline=None)
@given(arrays(np.int64, (2, 3), elements=st.integers(0, 3)), arrays(bool, (2, 3)))
def test_ties_for_the_last_places_are_shared(values, mask):
    """The mean over all orders in which pixels of one value can be sorted."""
    assume(mask.any() and np.ptp(values))
    orders = np.array(list(permutations(range(6))))
    by_value = np.argsort(-values.ravel()[orders], axis=1, kind="stable")[:, : mask.sum()]
    hits = mask.ravel()[np.take_along_axis(orders, by_value, 1)]
    assert float(metrics.rank_accuracy(one(values).float(), one(mask))) == pytest.approx(
        hits.mean()
    )


@settings(deadline=None)
@given(arrays(np.float64, (6, 8), elements=st.floats(0, 1e3, width=32)), objects)
def test_overlap_is_scipys(energy, mask):
    assume(np.ptp(energy) > 1e-3)
    threshold = energy.mean() + energy.std()
    assume(np.abs(energy - threshold).min() > 1e-9 and threshold < energy.max())
    found = 1 - jaccard((energy >= threshold).ravel(), mask.ravel())
    assert float(metrics.iou(one(energy), one(mask))) == pytest.approx(found)
    at = [1 - jaccard((energy >= value).ravel(), mask.ravel()) for value in np.unique(energy)]
    assert float(metrics.best_iou(one(energy), one(mask))) == pytest.approx(max(at))


def test_the_maximum_is_always_above_the_threshold():
    """mean + deviation of 3 pixels of 4 is more than 1."""
    masks = torch.tensor([[[True, True], [True, False]]])
    close(metrics.iou(masks.float(), masks), 1.0)


@settings(deadline=None)
@given(energies, objects)
def test_on_a_layers_grid_a_map_is_drawn_in_blocks(energy, mask):
    assume(energy.max() > 1e-3)
    blocks = one(energy.repeat(2, 0).repeat(2, 1))
    for measure in (*MEASURES, partial(metrics.pointing_game, tolerance=1)):
        found = measure(one(energy), one(mask), grid="layer")
        torch.testing.assert_close(found, measure(blocks, one(mask)), msg=str(measure))


def test_a_pooled_mask_written_out():
    """Of the map's two pixels the object covers 3 and 1 quarters."""
    maps = torch.tensor([[[1.0, 4.0]]])
    masks = torch.tensor([[[True, True, False, True], [True, False, False, False]]])
    close(metrics.energy_share(maps, masks, "layer"), (1 * 0.75 + 4 * 0.25) / 5)
    close(metrics.pointing_game(maps, masks, grid="layer"), 0.25)
    close(metrics.rank_accuracy(maps, masks, "layer"), 0.25)
    close(metrics.best_iou(maps, masks, "layer"), 1 / 2)  # both pixels; 0.25 / 1.75 for the one


def test_boxes_as_masks():
    boxes = torch.tensor([[1.0, 0.0, 3.0, 2.0], [0.6, 0.4, 1.4, 4.0], [float("nan")] * 4])
    masks = metrics.inside(boxes, (3, 4))
    assert masks[0].tolist() == [[False, True, True, False]] * 2 + [[False] * 4]
    assert masks[1].tolist() == [[False] * 4] * 3  # no centre of a column in 0.6 to 1.4
    assert not masks[2].any()


@pytest.mark.parametrize(
    ("maps", "masks", "sentence"),
    [
        (-MAPS, MASKS, r"images \[0, 1\] are negative"),
        (MAPS / 0, MASKS, r"images \[0, 1\] hold NaN"),
        (MAPS[0], MASKS, r"\(B, h, w\) is needed"),
        (MAPS, MASKS[:1], r"boolean \(2, H, W\) is needed"),
        (MAPS, MASKS.float(), "boolean"),
        (MAPS, MASKS & ~MASKS[:1], r"masks of images \[0\] show no object"),
    ],
)
def test_what_cannot_be_measured_is_refused(maps, masks, sentence):
    with pytest.raises(BadInput, match=sentence):
        metrics.energy_share(maps, masks)


def test_interference_needs_a_background():
    with pytest.raises(BadInput, match=r"objects of images \[0\] fill the picture"):
        metrics.interference(MAPS[:1], torch.ones(1, 2, 2, dtype=torch.bool))
    with pytest.raises(BadInput, match="tolerance=-1"):
        metrics.pointing_game(MAPS, MASKS, -1)


def test_an_unknown_grid_is_answered_with_the_near_one():
    for measure in MEASURES:
        with pytest.raises(BadInput, match=r"no grid 'layers'\. Did you mean 'layer'"):
            measure(MAPS, MASKS, grid="layers")
