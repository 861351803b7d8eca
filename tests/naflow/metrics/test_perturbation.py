"""Deletion and insertion: scores whose curves are known, and numpy loops over single pixels."""

import numpy as np
import pytest
import torch
from networks import Residual, randomised

from naflow.errors import BadInput
from naflow.metrics import empty
from naflow.metrics.answers import Answers, ClassProbability
from naflow.metrics.perturbation import area_under, deletion, insertion
from naflow.perturb.masked import blurred

CURVES = (deletion, insertion)


def random(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def brightness(images):
    """A score that is linear in the pixels."""
    return images.double().mean((1, 2, 3))


def curved(images):
    """A score to which pixels matter together."""
    weights = random(*images.shape[1:], seed=9)
    return torch.tanh(3 * (images * weights).mean((1, 2, 3))) + images.square().mean((1, 2, 3))


def written_out(images, maps, start, end, steps, score):
    """The same by numpy, a picture and a pixel at a time; maps of the pictures' size, no ties."""
    curves = []
    for i in range(len(images)):
        order = np.argsort(-maps[i].numpy().ravel())
        picture = start[i].clone().flatten(1)
        curve, done = [], 0
        for step in range(steps + 1):
            while done < round(len(order) * step / steps):
                picture[:, order[done]] = end[i].flatten(1)[:, order[done]]
                done += 1
            curve.append(float(score(picture.view(1, *images.shape[1:]))))
        curves.append(curve)
    return np.array(curves)


def test_the_curve_of_a_known_object():
    """An object of a quarter of the pixels is all that the score sees: it is gone after a quarter
    of the steps, and back after as many."""
    maps = torch.zeros(1, 8, 8)
    maps[:, :4, :4] = 1
    images = maps[:, None].clone()
    share = torch.arange(21).double() / 20
    lost, won = (curve(brightness, images, maps, baseline=0.0) for curve in CURVES)
    torch.testing.assert_close(lost[0], (0.25 - share).clamp(min=0), atol=1 / 64, rtol=0)
    torch.testing.assert_close(won[0], share.clamp(max=0.25), atol=1 / 64, rtol=0)
    exact = deletion(brightness, images, maps, steps=16)
    assert float(area_under(exact)) == pytest.approx(0.25 * 0.25 / 2)  # a triangle
    assert float(area_under(insertion(brightness, images, maps, baseline=0.0, steps=16))) == (
        pytest.approx(0.25 - 0.25 * 0.25 / 2)
    )


@pytest.mark.parametrize("steps", [1, 7, 20])
def test_equals_a_loop_over_pixels(steps):
    images, maps = random(3, 2, 9, 11), random(3, 9, 11, seed=1)
    hidden = random(3, 2, 9, 11, seed=2)
    found = deletion(curved, images, maps, baseline=hidden, steps=steps, batch=5)
    expected = written_out(images, maps, images, hidden, steps, curved)
    assert found.dtype == torch.float64 and found.shape == (3, steps + 1)
    assert found.numpy() == pytest.approx(expected, abs=1e-6)
    found = insertion(curved, images, maps, steps=steps, batch=5)
    expected = written_out(images, maps, blurred(images), images, steps, curved)
    assert found.numpy() == pytest.approx(expected, abs=1e-6)


def test_no_order_deletes_faster_than_the_contributions_of_a_linear_score():
    images = random(1, 1, 8, 8)
    best = area_under(deletion(brightness, images, images[:, 0]))
    for seed in range(1, 20):
        assert area_under(deletion(brightness, images, random(1, 8, 8, seed=seed))) > best
    worst = area_under(deletion(brightness, images, 1 - images[:, 0]))
    chance = area_under(deletion(brightness, images, torch.ones(1, 4, 4)))
    assert best < chance < worst


def test_the_curves_of_one_order_add_up_where_the_score_is_linear():
    images, maps, hidden = random(2, 3, 8, 8), random(2, 4, 4, seed=1), random(3, 1, 1, seed=2)
    lost, won = (curve(brightness, images, maps, baseline=hidden) for curve in CURVES)
    both = brightness(images) + brightness(hidden.expand_as(images))
    torch.testing.assert_close(lost + won, both[:, None].expand_as(lost))


@pytest.mark.parametrize("curve", CURVES)
def test_an_empty_map_is_told_and_not_scored(curve):
    images, maps = random(3, 1, 8, 8), random(3, 4, 4)
    maps[1] = 0
    found = curve(brightness, images, maps)
    assert found.isnan().all(1).tolist() == empty(maps).tolist() == [False, True, False]
    assert area_under(found).isnan().tolist() == [False, True, False]
    torch.testing.assert_close(found[::2], curve(brightness, images[::2], maps[::2]))


@pytest.mark.parametrize("curve", CURVES)
def test_ties_are_drawn_from_the_seed_and_the_batch_does_not_matter(curve):
    images, maps = random(2, 1, 8, 8), torch.ones(2, 4, 4)
    maps[1, 0, 0] = 2
    one, again, other = (curve(curved, images, maps, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one, again) and not torch.equal(one, other)
    torch.testing.assert_close(one[:, [0, -1]], other[:, [0, -1]])
    torch.testing.assert_close(curve(curved, images, maps, seed=1, batch=1), one)
    torch.testing.assert_close(curve(curved, images[1:], maps[1:], seed=1), one[1:])


def test_of_a_network():
    """The ends are the model's own answers, each picture's about its own class."""
    torch.manual_seed(1)
    model = randomised(Residual()).eval()
    images, maps, classes = random(2, 3, 16, 16), random(2, 4, 4), [3, 1]
    found = deletion(Answers(model, ClassProbability(classes), 2), images, maps, baseline=0.3)
    with torch.no_grad():
        for end, shown in ((0, images), (-1, torch.full_like(images, 0.3))):
            expected = model(shown).softmax(1)[range(2), classes]
            torch.testing.assert_close(found[:, end], expected.double(), rtol=1e-5, atol=1e-6)


def test_area_at_unequal_shares_is_numpys():
    curves, shares = random(3, 4).double(), [0.1, 0.2, 0.5, 1.0]
    expected = np.trapezoid(curves.numpy(), shares, axis=1) / 0.9
    assert area_under(curves, shares).numpy() == pytest.approx(expected)
    assert area_under(torch.full((1, 5), 0.7)).tolist() == pytest.approx([0.7])


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"steps": 0}, "steps=0"),
        ({"batch": 0}, "batch=0"),
        ({"baseline": torch.zeros(3, 1)}, r"baseline has shape \(3, 1\)"),
    ],
)
@pytest.mark.parametrize("curve", CURVES)
def test_settings_out_of_range(curve, settings, sentence):
    with pytest.raises(BadInput, match=sentence):
        curve(brightness, random(2, 1, 8, 8), random(2, 4, 4), **settings)


def test_what_has_no_area():
    with pytest.raises(BadInput, match=r"shape \(3,\)"):
        area_under(torch.zeros(3))
    with pytest.raises(BadInput, match="2 ascending numbers"):
        area_under(torch.zeros(1, 2), [0.5, 0.5])
