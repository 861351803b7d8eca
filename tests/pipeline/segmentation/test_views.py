"""A view moves a picture and its targets alike."""

import torch
from torch import Generator

from pipeline.learning.augment import Augmentation
from pipeline.segmentation.views import AlignedAugmentation

STRONG = {"zoom": 0.2, "shift": 0.2, "turn": 40.0, "flip": True, "colour": 0.0}


def pictures() -> torch.Tensor:
    """Five squares of different places and classes, in pictures of the brightness 50 * class."""
    targets = torch.zeros(5, 32, 32, dtype=torch.uint8)
    for number in range(5):
        targets[number, 4 * number : 4 * number + 12, 6:20] = number + 1
    return torch.cat([(targets * 50)[:, None].expand(-1, 3, -1, -1), targets[:, None]], dim=1)


def test_targets_lie_where_the_picture_shows_them():
    views = AlignedAugmentation(**STRONG)(pictures(), 32, Generator().manual_seed(3))
    shown, target = views[:, 0] * 255, views[:, 3] * 255
    assert not torch.allclose(target.round(), pictures()[:, 3].float())  # they did move
    torch.testing.assert_close(target, target.round(), atol=1e-4, rtol=0)
    for number in range(5):
        assert set(target[number].round().unique().tolist()) == {0.0, number + 1.0}
        inside = shown[number] > 25 * (number + 1)  # half of the brightness
        assert (inside == (target[number] > 0)).float().mean() > 0.98


def test_the_picture_is_what_the_plain_augmentation_makes_of_it():
    images, settings = pictures(), STRONG | {"colour": 0.3}
    ours = AlignedAugmentation(**settings)(images, 24, Generator().manual_seed(1))
    plain = Augmentation(**settings)(images[:, :3], 24, Generator().manual_seed(1))
    assert torch.equal(ours[:, :3], plain)


def test_chance_goes_on_as_without_targets():
    one, two = Generator().manual_seed(1), Generator().manual_seed(1)
    AlignedAugmentation(**STRONG)(pictures(), 24, one)
    Augmentation(**STRONG)(pictures()[:, :3], 24, two)
    assert torch.equal(one.get_state(), two.get_state())
