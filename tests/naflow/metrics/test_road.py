"""ROAD against pytorch-grad-cam's without noise, and objects whose removal is known."""

import numpy as np
import pytest
import torch
from networks import Residual, randomised

from naflow.errors import BadInput
from naflow.metrics.answers import Answers, ClassProbability
from naflow.metrics.road import SHARES, road, road_combined

pytestmark = pytest.mark.filterwarnings("ignore")  # scipy's and the package's own


def random(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def brightness(images):
    return images.double().mean((1, 2, 3))


def test_equals_pytorch_grad_cams_road_without_noise():
    from pytorch_grad_cam.metrics import road as theirs
    from pytorch_grad_cam.metrics.perturbation_confidence import (
        PerturbationConfidenceMetric,
        RemoveLeastRelevantFirst,
        RemoveMostRelevantFirst,
    )
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputSoftmaxTarget

    torch.manual_seed(1)
    model = randomised(Residual()).eval()
    images, maps, classes = random(2, 3, 20, 20), random(2, 20, 20, seed=1), [3, 1]
    targets: list = [ClassifierOutputSoftmaxTarget(c) for c in classes]
    answer = Answers(model, ClassProbability(classes), 2)
    curves = {}
    for first, remover in (("most", RemoveMostRelevantFirst), ("least", RemoveLeastRelevantFirst)):
        expected = [
            PerturbationConfidenceMetric(remover(100 * (1 - share), theirs.NoisyLinearImputer(0)))(
                images, maps.numpy(), targets, model, return_diff=False
            )
            for share in SHARES
        ]
        curves[first] = np.stack(expected, axis=1)
        found = road(answer, images, maps, first=first, noise=0, batch=5)
        assert found.numpy() == pytest.approx(curves[first], abs=1e-5)
    found = road_combined(answer, images, maps, noise=0)
    assert found.numpy() == pytest.approx((curves["least"] - curves["most"]).mean(1) / 2, abs=1e-5)


def test_the_object_that_the_score_sees_is_removed_first_or_last():
    """A bright object on black: imputed from the black, it is gone after its share of pixels; the
    other way round, it is what the rest is imputed from."""
    maps = torch.zeros(1, 12, 12)
    maps[:, 4:8, 4:8] = 1
    images = maps[:, None].clone()
    whole, share = float(brightness(images)), 16 / 144
    shares = (share / 2, share, 0.5, 1 - share)
    most = road(brightness, images, maps, shares=shares, noise=0)[0]
    assert float(most[0]) > whole / 3 and float(most[1:].abs().max()) < 1e-5
    least = road(brightness, images, maps, first="least", shares=shares, noise=0)[0]
    assert whole <= float(least[0]) < 1.1 * whole  # nothing of it is gone
    assert float(least[-1]) > 5 * whole  # all that is left is bright
    assert float(road_combined(brightness, images, maps, noise=0)) > 0


def test_noise_is_of_the_seed_and_only_where_something_is_missing():
    images, maps, seen = torch.full((2, 1, 40, 40), 0.5), random(2, 40, 40, seed=7), []

    def answer(batch):
        seen.append(batch.clone())
        return brightness(batch)

    one = road(answer, images, maps, shares=[0.5], noise=0.1)
    again, other = (road(answer, images, maps, shares=[0.5], noise=0.1, seed=s) for s in (0, 1))
    assert torch.equal(one, again) and not torch.equal(one, other)
    added = seen[0] - 0.5
    changed = added.abs() > 1e-4
    assert changed.flatten(1).sum(1).tolist() == pytest.approx([800, 800], abs=3)
    assert float(added[changed].std()) == pytest.approx(0.1, rel=0.1)
    assert float(added[changed].mean()) == pytest.approx(0, abs=0.01)


def test_an_empty_map_is_told_and_not_scored():
    images, maps = random(2, 1, 8, 8), random(2, 4, 4)
    maps[0] = 0
    assert road(brightness, images, maps).isnan().all(1).tolist() == [True, False]
    assert road_combined(brightness, images, maps).isnan().tolist() == [True, False]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"first": "last"}, "first='last'"),
        ({"shares": [0.5, 0.2]}, "ascending"),
        ({"shares": [0.5, 1.0]}, "ascending"),
        ({"shares": [0.0]}, "ascending"),
    ],
)
def test_settings_out_of_range(settings, sentence):
    with pytest.raises(BadInput, match=sentence):
        road(brightness, random(2, 1, 8, 8), random(2, 4, 4), **settings)
