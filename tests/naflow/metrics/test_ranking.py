"""The order of pixels: numpy's sort, ties by lot, and the size that a flow is drawn at."""

import numpy as np
import pytest
import torch

from naflow import Flow
from naflow.errors import BadInput
from naflow.metrics.ranking import pixel_ranks, ranks, upsampled


def test_without_ties_it_is_numpys_order():
    values = torch.rand(3, 50, generator=torch.Generator().manual_seed(0))
    expected = np.argsort(np.argsort(-values.numpy(), axis=1), axis=1)
    assert np.array_equal(ranks(values, 5).numpy(), expected)


def test_ties_are_drawn_from_the_seed():
    values = torch.tensor([[0, 1, 1, 2, 1, 1, 0]])
    found = [ranks(values, seed)[0].tolist() for seed in range(60)]
    assert all(row[3] == 0 for row in found)
    assert all(sorted(row[i] for i in (1, 2, 4, 5)) == [1, 2, 3, 4] for row in found)
    for i in (1, 2, 4, 5):  # every one of the four comes at every place
        assert {row[i] for row in found} == {1, 2, 3, 4}
    assert ranks(values, 7).tolist() == ranks(values, 7).tolist()


def test_a_row_does_not_depend_on_the_others():
    values = torch.randint(0, 3, (4, 30))
    assert torch.equal(ranks(values, 1)[2:3], ranks(values[2:3], 1))


def test_maps_get_the_size_that_a_flow_gives_them():
    maps, images = torch.rand(2, 3, 4), torch.zeros(2, 3, 9, 12)
    flow = Flow(["a"], {"a": maps}, torch.zeros(2), None, None, "none")
    torch.testing.assert_close(upsampled(maps, images), flow.stack((9, 12))[:, 0])
    order = pixel_ranks(maps, images, 0).flatten(1).argsort(1)
    along = upsampled(maps, images).flatten(1).gather(1, order)
    assert bool((along.diff(dim=1) <= 0).all())


def test_a_uniform_map_stays_a_tie():
    flat = upsampled(torch.full((1, 3, 5), 0.1), torch.zeros(1, 1, 31, 17))
    assert bool((flat == flat[0, 0, 0]).all())


@pytest.mark.parametrize(
    ("maps", "images", "sentence"),
    [
        (torch.ones(2, 3, 3), torch.ones(3, 1, 6, 6), "2 maps for images"),
        (torch.ones(2, 3, 3), torch.ones(2, 6, 6), "2 maps for images"),
        (-torch.ones(2, 3, 3), torch.ones(2, 1, 6, 6), "are negative"),
    ],
)
def test_what_cannot_be_ranked(maps, images, sentence):
    with pytest.raises(BadInput, match=sentence):
        pixel_ranks(maps, images, 0)
