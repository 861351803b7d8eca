"""Flows: distances of distributions, scipy's centre of mass, and what must not matter."""

import numpy as np
import pytest
import torch
from scipy.ndimage import center_of_mass
from scipy.spatial.distance import cityblock

from naflow import metrics
from naflow.errors import BadInput

FLOWS = (
    metrics.stability,
    metrics.smoothness,
    metrics.stabilisation_depth,
    metrics.centroid_drift,
)
LEFT, RIGHT = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[0.0, 1.0]]])


def mixed(share):
    """A map with this share on the right."""
    return torch.lerp(LEFT, RIGHT, share)


def flow():
    """Three layers of two images."""
    return [torch.rand(2, 8, 12), torch.rand(2, 4, 6), torch.rand(2, 2, 3)]


def test_stability_looks_at_neighbours():
    first, second = torch.rand(2, 4, 4), torch.rand(2, 2, 2)
    found = metrics.stability([first, second, 3 * second])
    assert found.shape == (2, 2)
    torch.testing.assert_close(found[:, 0], metrics.correlation(first, second))
    assert found[:, 1].tolist() == pytest.approx([1, 1])


def test_variation_is_half_the_city_block_distance_of_the_shares():
    first, second = torch.rand(3, 4, 6).double(), torch.rand(3, 2, 3).double()
    sums = first.view(3, 2, 2, 3, 2).sum((2, 4))  # each distribution on the coarser grid
    expected = [
        cityblock((a / a.sum()).flatten(), (b / b.sum()).flatten()) / 2
        for a, b in zip(sums, second, strict=True)
    ]
    assert metrics.variation(first, second).tolist() == pytest.approx(expected)
    assert metrics.variation(second, first).tolist() == pytest.approx(expected)


def test_the_ends_of_variation():
    assert metrics.variation(LEFT, RIGHT).tolist() == [1]
    assert metrics.variation(LEFT, 3 * LEFT).tolist() == [0]
    assert metrics.variation(LEFT, torch.zeros(1, 1, 2)).tolist() == [0.5]  # as if uniform


def test_smoothness_is_the_mean_over_the_steps():
    found = metrics.smoothness([LEFT, mixed(0.5), mixed(0.75), mixed(0.75)])
    assert found.tolist() == pytest.approx([1 - (0.5 + 0.25 + 0) / 3])


@pytest.mark.parametrize(
    ("on_the_right", "depth"),
    [
        ([0.0, 0.25, 0.5, 1.0], 4 / 4),
        ([0.0, 0.75, 0.875, 1.0], 2 / 4),
        ([1.0, 0.0, 0.75, 1.0], 3 / 4),  # that it began near the end does not count
        ([1.0, 1.0, 1.0, 1.0], 1 / 4),
    ],
)
def test_the_depth_from_which_on_all_maps_are_near_the_last(on_the_right, depth):
    maps = [mixed(share) for share in on_the_right]
    assert metrics.stabilisation_depth(maps).tolist() == [depth]


def test_each_image_has_its_own_depth_and_a_wide_bound_takes_all():
    maps = [torch.cat([mixed(a), mixed(b)]) for a, b in [(0.0, 1.0), (1.0, 1.0)]]
    assert metrics.stabilisation_depth(maps).tolist() == [1, 0.5]
    assert metrics.stabilisation_depth(maps, within=1).tolist() == [0.5, 0.5]


def test_drift_is_the_way_of_scipys_centre_of_mass():
    maps = flow()
    centres = [
        [(np.array(center_of_mass(m.numpy())) + 0.5) / m.shape * (8, 12) for m in layer]
        for layer in maps
    ]
    steps = np.linalg.norm(np.diff(centres, axis=0), axis=2).T / np.hypot(8, 12)
    assert metrics.centroid_drift(maps).numpy() == pytest.approx(steps, rel=1e-5)


def test_drift_from_one_corner_to_the_other():
    first, last = torch.zeros(1, 8, 8), torch.zeros(1, 4, 4)
    first[0, 0, 0] = last[0, 3, 3] = 1
    expected = (1 - 0.5 / 8 - 0.5 / 4,)
    assert metrics.centroid_drift([first, last])[0].tolist() == pytest.approx(expected)


@pytest.mark.parametrize("measure", FLOWS)
def test_neither_scale_nor_batch_matters(measure):
    maps = flow()
    found = measure(maps)
    torch.testing.assert_close(measure([maps[0], maps[1] * 1e-12, maps[2] * 1e12]), found)
    torch.testing.assert_close(measure([m[1:] for m in maps]), found[1:])


@pytest.mark.parametrize("measure", FLOWS)
def test_what_cannot_be_measured(measure):
    with pytest.raises(BadInput, match="1 layers: at least two"):
        measure([LEFT])
    with pytest.raises(BadInput, match=r"images \[0\] are negative"):
        measure([LEFT, -RIGHT])


@pytest.mark.parametrize("within", [-0.1, 25, float("nan")])
def test_a_bound_is_a_share(within):
    with pytest.raises(BadInput, match="between 0 and 1"):
        metrics.stabilisation_depth([LEFT, RIGHT], within)
