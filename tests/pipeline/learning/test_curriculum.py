"""The curriculum: plain silhouettes first, the pictures as they are at last."""

import pytest
import torch
from torch import Generator

from pipeline.learning.curriculum import Curriculum
from pipeline.pictures.pixels import Pixels

CHOSEN = torch.tensor([4, 1])


@pytest.fixture
def pixels():
    """Six pictures of 32 pixels: noise, with a bright square as the object."""
    generator = Generator().manual_seed(0)
    images = torch.randint(0, 100, (6, 3, 32, 32), generator=generator, dtype=torch.uint8)
    masks = torch.zeros(6, 32, 32, dtype=torch.bool)
    masks[:, 10:18, 10:18] = True
    images[masks[:, None].expand_as(images)] += 150
    return Pixels(list("abcdef"), images, torch.zeros(6), masks, torch.empty(0))


def test_at_first_two_plain_colours_far_apart(pixels):
    seen = Curriculum()(pixels, CHOSEN, 0.05, Generator().manual_seed(0)).float()
    inside = pixels.masks[CHOSEN][:, None].expand_as(seen)
    for part in (inside, ~inside):
        for image, where in zip(seen, part, strict=True):
            for channel, here in zip(image, where, strict=True):
                assert channel[here].unique().numel() == 1
    assert ((seen[:, :, 12, 12] - seen[:, :, 0, 0]).abs() > 100).all()


def test_at_first_black_on_white_then_ever_more_varied(pixels):
    bare = Curriculum(bare=0.1, plain=0.3, coloured=0.6)

    def spread(share):
        seen = bare(pixels, CHOSEN, share, Generator().manual_seed(0)).float()
        return seen[:, :, 12, 12].std(0).mean().item(), seen

    none, seen = spread(0.1)
    inside = pixels.masks[CHOSEN][:, None].expand_as(seen)
    assert none == 0
    assert (seen[inside] == 0).all()
    assert (seen[~inside] == 255).all()
    assert 0 < spread(0.2)[0] < spread(0.3)[0]
    whole = Curriculum(plain=0.3, coloured=0.6)(pixels, CHOSEN, 0.3, Generator().manual_seed(0))
    assert torch.equal(spread(0.3)[1], whole.float())


def test_at_last_the_picture_as_it_is(pixels):
    seen = Curriculum()(pixels, CHOSEN, 0.9, Generator().manual_seed(0))
    assert torch.equal(seen, pixels.images[CHOSEN])


def test_with_swap_the_object_on_another_ground_without_that_ones_object(pixels):
    seen = Curriculum(swap=True)(pixels, CHOSEN, 0.9, Generator().manual_seed(0))
    inside = pixels.masks[CHOSEN][:, None].expand_as(seen)
    own = pixels.images[CHOSEN]
    assert torch.equal(seen[inside], own[inside])
    assert not torch.equal(seen[~inside], own[~inside])
    assert (seen[~inside] < 100).all()


def test_in_between_a_mixture(pixels):
    first, half, last = (
        Curriculum(plain=0.2, coloured=0.6)(
            pixels, CHOSEN, share, Generator().manual_seed(3)
        ).float()
        for share in (0.2, 0.4, 0.6)
    )
    torch.testing.assert_close(half, (first + last) / 2, atol=1, rtol=0)


def test_the_generator_decides(pixels):
    draws = [
        Curriculum(swap=True)(pixels, CHOSEN, 0.5, Generator().manual_seed(seed))
        for seed in (0, 0, 1)
    ]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
