"""Augmentation: nothing when all is zero, repeatable, and within its limits."""

import torch
from torch import Generator

from pipeline.learning.augment import Augmentation

STILL = Augmentation(zoom=0, shift=0, turn=0, flip=False, colour=0, shuffle=0)


def images(count=4, size=16):
    return torch.randint(
        0, 256, (count, 3, size, size), generator=Generator().manual_seed(0), dtype=torch.uint8
    )


def test_zero_augmentation_leaves_pictures_as_they_are():
    views = STILL(images(), 16, Generator().manual_seed(1))
    torch.testing.assert_close(views, images() / 255, atol=1e-5, rtol=0)


def test_flip_alone_mirrors_about_half():
    views = Augmentation(zoom=0, shift=0, turn=0, flip=True, colour=0)(
        images(64), 16, Generator().manual_seed(1)
    )
    plain = images(64) / 255
    same = (views - plain).abs().amax((1, 2, 3)) < 1e-4
    mirrored = (views - plain.flip(3)).abs().amax((1, 2, 3)) < 1e-4
    assert (same ^ mirrored).all()
    assert 16 < same.sum() < 48


def test_shuffle_only_reorders_channels():
    views = Augmentation(zoom=0, shift=0, turn=0, flip=False, colour=0, shuffle=1)(
        images(), 16, Generator().manual_seed(1)
    )
    torch.testing.assert_close(
        views.sort(1).values, (images() / 255).sort(1).values, atol=1e-5, rtol=0
    )


def test_views_repeat_with_the_seed_and_stay_in_range():
    strong = Augmentation(zoom=0.3, shift=0.3, turn=20, colour=0.5, shuffle=0.5)
    first, again, other = (strong(images(), 8, Generator().manual_seed(s)) for s in (1, 1, 2))
    torch.testing.assert_close(first, again, atol=0, rtol=0)
    assert first.shape == (4, 3, 8, 8)
    assert first.min() >= 0
    assert first.max() <= 1
    assert not torch.equal(first, other)
