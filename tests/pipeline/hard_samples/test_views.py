"""Masked pictures, and how often training sees them."""

import pytest
import torch
from scipy.ndimage import correlate1d
from torch import Generator

from naflow.errors import BadInput
from pipeline.hard_samples.views import Arm, HardViews
from pipeline.pictures.pixels import Pixels

SIZE = 24


@pytest.fixture
def images():
    """Six pictures of noise."""
    generator = Generator().manual_seed(0)
    return torch.randint(0, 256, (6, 3, SIZE, SIZE), generator=generator, dtype=torch.uint8)


@pytest.fixture
def masks():
    """Left half, right half, and four more halves at other heights."""
    found = torch.zeros(6, 1, SIZE, SIZE)
    found[0, :, :, : SIZE // 2] = 1
    found[1, :, :, SIZE // 2 :] = 1
    for number in range(2, 6):
        found[number, :, number : number + SIZE // 2] = 1
    return found


def blurred(images):
    """The Gaussian of CF-CAM, 51 and 50 of 224 pixels, by scipy."""
    half = round((51 / 224 * SIZE - 1) / 2)
    steps = torch.arange(-half, half + 1).double()
    line = (-0.5 * (steps / (50 / 224 * SIZE)) ** 2).exp()
    line = (line / line.sum()).numpy()
    found = correlate1d(images.double().numpy(), line, axis=2, mode="mirror")
    return torch.from_numpy(correlate1d(found, line, axis=3, mode="mirror"))


@pytest.mark.parametrize("hide", ["background", "attended"])
def test_what_is_hidden_is_blurred_and_the_rest_is_as_it_was(images, masks, hide):
    found = Arm(hide=hide).masked(images, masks)
    inside = (masks if hide == "background" else 1 - masks).bool().expand_as(images)
    assert found.dtype == torch.uint8
    assert torch.equal(found[inside], images[inside])
    wanted = blurred(images)[~inside]
    assert (found[~inside].double() - wanted).abs().max() <= 0.51  # rounded


def test_the_mean_colour_instead(images, masks):
    found = Arm(fill="mean").masked(images, masks)
    mean = images[0].double().mean((1, 2)).round().to(torch.uint8)
    assert torch.equal(found[0, :, 3, -1], mean)
    assert torch.equal(found[0, :, :, : SIZE // 2], images[0, :, :, : SIZE // 2])


def test_a_soft_mask_mixes(images):
    half = Arm(fill="mean").masked(images, torch.full((6, 1, SIZE, SIZE), 0.5))
    mean = images.double().mean((2, 3), keepdim=True)
    assert (half.double() - (images.double() + mean) / 2).abs().max() <= 0.51


def test_shuffled_masks_are_those_of_other_pictures(images, masks):
    found = Arm(shuffled=True).masked(images, masks)
    assert torch.equal(found[1:], Arm().masked(images[1:], masks[:-1]))
    assert torch.equal(found[:1], Arm().masked(images[:1], masks[-1:]))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"hide": "attendet"}, "hide='attendet' .* Did you mean 'attended'"),
        ({"fill": "black"}, "fill='black' is not one of blur, mean"),
        ({"probability": 1.1}, r"probability=1.1 is not in \[0, 1\]"),
    ],
)
def test_wrong_settings(wrong, told):
    with pytest.raises(BadInput, match=told):
        Arm(**wrong)


HARD = torch.tensor([4, 1])


@pytest.fixture
def pixels(images):
    return Pixels(list("abcdef"), images, torch.zeros(6), torch.empty(0), torch.empty(0))


def views(pixels, probability):
    """The hard pictures are white, number 1, and black, number 4."""
    masked = torch.stack([torch.zeros(3, SIZE, SIZE), torch.full((3, SIZE, SIZE), 255)])
    return HardViews(HARD, masked.to(torch.uint8), probability)


def test_only_the_hard_ones_are_replaced_each_by_its_own(pixels):
    before = pixels.images.clone()
    chosen = torch.tensor([1, 3, 4, 1, 0])
    seen = views(pixels, 1.0)(pixels, chosen, 0.5, Generator().manual_seed(0))
    assert torch.equal(seen[[1, 4]], before[[3, 0]])
    assert (seen[[0, 3]] == 255).all()
    assert (seen[2] == 0).all()
    assert torch.equal(pixels.images, before)


def test_never_at_probability_0_and_as_often_as_said(pixels):
    chosen = HARD[torch.arange(4000) % 2]
    never = views(pixels, 0.0)(pixels, chosen, 0, Generator().manual_seed(0))
    assert torch.equal(never, pixels.images[chosen])
    seen = views(pixels, 0.3)(pixels, chosen, 0, Generator().manual_seed(0))
    replaced = (seen != pixels.images[chosen]).flatten(1).any(1).double().mean()
    assert replaced == pytest.approx(0.3, abs=0.03)


def test_all_probabilities_draw_the_same_chance(pixels):
    states = []
    for probability in (0.0, 0.5, 1.0):
        generator = Generator().manual_seed(3)
        views(pixels, probability)(pixels, torch.tensor([0, 1, 2]), 0, generator)
        states.append(generator.get_state())
    assert torch.equal(states[0], states[1])
    assert torch.equal(states[0], states[2])
