"""The scene generator: every silhouette, honest masks, and a seed that fixes everything."""

import numpy as np
import pytest

from pipeline.scenes.shapes import AREA, box_of, cover, place, scene
from pipeline.scenes.silhouettes import SILHOUETTES


@pytest.mark.parametrize("name", SILHOUETTES)
def test_scene_holds_the_whole_object_at_a_sensible_size(name):
    for seed in range(4):
        drawn = scene(name, 64, np.random.default_rng(seed))
        assert drawn.image.shape == (64, 64, 3)
        assert drawn.image.dtype == np.uint8
        assert set(np.unique(drawn.mask)) == {0, 255}
        assert 0.03 < (drawn.mask > 0).mean() < AREA[1] + 0.03
        border = np.concatenate(
            [drawn.mask[0], drawn.mask[-1], drawn.mask[:, 0], drawn.mask[:, -1]]
        )
        assert not border.any(), "the object is cut off"


def test_box_is_the_mask_s():
    mask = np.zeros((10, 12), bool)
    mask[2:5, 3:9] = True
    assert box_of(mask) == (3, 2, 9, 5)


def test_same_seed_same_scene_other_seed_other_scene():
    first, again, other = (scene("fish", 64, np.random.default_rng([7, n])) for n in (1, 1, 2))
    np.testing.assert_array_equal(first.image, again.image)
    assert (first.image != other.image).any()


def test_objects_are_not_always_in_the_middle():
    middles = []
    for seed in range(60):
        mask = cover(place(SILHOUETTES["star"], np.random.default_rng(seed)), 64) > 0.5
        middles.append(np.argwhere(mask).mean(0) / 64)
    assert np.std(middles, axis=0).min() > 0.03


def test_silhouettes_differ():
    sheets = {
        n: cover(place(p, np.random.default_rng(0)), 64) > 0.5 for n, p in SILHOUETTES.items()
    }
    assert len(SILHOUETTES) == 24
    assert len({sheet.tobytes() for sheet in sheets.values()}) == 24
