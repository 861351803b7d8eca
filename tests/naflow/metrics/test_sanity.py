"""Sanity checks: weights drawn by hand, scipy's numbers, methods whose answer is known."""

from copy import deepcopy
from itertools import pairwise

import numpy as np
import pytest
import torch
from networks import Aliased, Residual, Undecided, randomised
from scipy.spatial.distance import cosine
from scipy.stats import spearmanr
from torch import nn

from naflow import metrics, scores
from naflow.errors import BadInput, UnsupportedModel
from naflow.explainers import LRP, CentreGaussian, Edges, GradCAM, HiResCAM, MeanActivation

STAGES = ["fc", "layer1.1.add", "layer1.0.add", "bn1", "conv1"]


@pytest.fixture
def model():
    return randomised(Residual()).train()


@pytest.fixture
def images():
    return torch.randn(2, 3, 32, 32)


@pytest.fixture
def spy():
    """A method that remembers what it was asked."""

    class Spy(GradCAM):
        asked = []  # noqa: RUF012

        def recorded(self, images, score, inputs, detail):
            self.asked.append(score)
            return super().recorded(images, score, inputs, detail)

    return Spy


# --- the model -----------------------------------------------------------------------------------


def test_the_units_are_randomised_from_the_head_down(model, images):
    found = metrics.cascading_randomisation(GradCAM, model, images)
    assert list(found) == STAGES
    layers = GradCAM(model)(images).layers
    for by_layer in found.values():
        assert list(by_layer) == layers
        assert all(value.shape == (2,) for value in by_layer.values())


def test_it_is_the_rank_correlation_with_the_randomised_model(model, images):
    seen = []

    def explainer(network):
        seen.append(deepcopy(network))
        return HiResCAM(network)

    found = metrics.cascading_randomisation(explainer, model, images)
    before = HiResCAM(model)(images)
    assert before.prediction is not None
    asked = scores.ClassLogit(before.prediction)
    for changed, by_layer in zip(seen[1:], found.values(), strict=True):
        after = HiResCAM(changed)(images, asked)
        for layer, maps in before:
            pairs = zip(maps.flatten(1), after[layer].flatten(1), strict=True)
            expected = [spearmanr(*pair)[0] for pair in pairs]
            assert by_layer[layer].tolist() == pytest.approx(expected, abs=1e-4), layer


def test_stage_by_stage_the_weights_are_those_of_a_new_model(model, images):
    seen = []

    def explainer(network):
        seen.append(deepcopy(network.state_dict()))
        return MeanActivation(network)

    metrics.cascading_randomisation(explainer, model, images)
    names = ["fc", "layer1.1", "layer1.0", "bn1", "conv1"]  # the stages' modules
    for number, (before, after) in enumerate(pairwise(seen)):
        changed = {name for name in before if not torch.equal(before[name], after[name])}
        assert changed and all(name.startswith(f"{names[number]}.") for name in changed)
    assert len(seen) == 6
    for name, value in seen[-1].items():
        if "conv" in name or name == "fc.weight":  # torch's own bound
            bound = value[0].numel() ** -0.5
            assert 0.9 * bound < value.abs().max() <= bound
        elif name.endswith(("bias", "mean", "tracked")) and "fc" not in name:
            assert not value.any()
        elif name.endswith(("bn1.weight", "bn2.weight", "var")):
            assert (value == 1).all()


def test_activations_below_the_stage_stay(model, images):
    """And none above, though the model was built under the same seed."""
    found = metrics.cascading_randomisation(MeanActivation, model, images)
    for number, stage in enumerate(STAGES):
        for other in STAGES[1 : number + 1]:
            assert found[stage][other].max() < 0.999, (stage, other)
        for other in STAGES[number + 1 :]:
            assert found[stage][other].tolist() == pytest.approx([1, 1]), (stage, other)


def test_the_class_explained_stays(model, images, spy):
    predicted = GradCAM(model)(images).prediction
    metrics.cascading_randomisation(spy, model, images)
    first, *others = spy.asked
    assert first is None and len(others) == len(STAGES)
    assert all(torch.equal(score.index, predicted) for score in others)


def test_the_model_and_the_generators_stay_as_they_were(model, images):
    state, random = deepcopy(model.state_dict()), torch.get_rng_state()
    metrics.cascading_randomisation(GradCAM, model, images, scores.ClassLogit(1))
    assert torch.equal(torch.get_rng_state(), random)
    assert all(module.training for module in model.modules())
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name]), name


def test_the_seed_decides(model, images):
    first, again, other = (
        metrics.cascading_randomisation(GradCAM, model, images, layers=["bn1"], seed=seed)
        for seed in (0, 0, 1)
    )
    assert all(list(by_layer) == ["bn1"] for by_layer in first.values())
    assert all(torch.equal(first[stage]["bn1"], again[stage]["bn1"]) for stage in STAGES)
    assert any(not torch.equal(first[stage]["bn1"], other[stage]["bn1"]) for stage in STAGES)


def test_signed_maps_are_compared_by_their_size(model, images):
    def negated(network):
        class Negated(LRP):
            def evidence(self, x, g):
                found = super().evidence(x, g)
                return found if network is model else -found

        return Negated(network)

    found = metrics.cascading_randomisation(negated, model, images, stages=["fc"])["fc"]
    plain = metrics.cascading_randomisation(LRP, model, images, stages=["fc"])["fc"]
    for layer in plain:
        assert torch.equal(found[layer], plain[layer])


def test_stages_named_by_hand(images):
    found = metrics.cascading_randomisation(
        MeanActivation, Undecided(), images, stages=["fc", "body"]
    )
    layers = ["stem.0", "stem.1", "body.0", "body.1"]
    assert [list(by_layer) for by_layer in found.values()] == [layers] * 2
    assert found["fc"]["body.1"].tolist() == pytest.approx([1, 1])
    assert found["body"]["stem.1"].tolist() == pytest.approx([1, 1])
    assert found["body"]["body.0"].max() < 0.99


def test_a_module_that_two_units_share_is_one_stage():
    model = Aliased()
    model.stem = model.conv
    found = metrics.cascading_randomisation(GradCAM, model, torch.randn(1, 4, 8, 8))
    assert len(found) == 2  # the head, and the one convolution


class Scaled(nn.Module):
    """A parameter of its own, and no way to draw it."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return x * self.scale


@pytest.mark.parametrize(
    ("stages", "error", "sentence"),
    [
        (["fcc"], BadInput, "no module 'fcc'.*'fc'"),
        (["relu"], BadInput, "'relu' has no parameters"),
        (None, UnsupportedModel, "'maxpool', a Scaled, has parameters and no reset_parameters"),
    ],
)
def test_what_cannot_be_randomised(model, images, stages, error, sentence):
    if stages is None:
        model.maxpool = Scaled()
    with pytest.raises(error, match=sentence):
        metrics.cascading_randomisation(GradCAM, model, images, stages=stages)


# --- the class -----------------------------------------------------------------------------------


def test_class_sensitivity_is_scipys_distance():
    first, second = torch.rand(3, 4, 5), torch.rand(3, 4, 5)
    expected = [cosine(*pair) for pair in zip(first.flatten(1), second.flatten(1), strict=True)]
    assert metrics.class_sensitivity(first, second).tolist() == pytest.approx(expected)
    scaled = metrics.class_sensitivity(first * 1e-30, second * 1e30)
    assert scaled.tolist() == pytest.approx(expected)


def test_the_ends_of_class_sensitivity():
    first, second = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[0.0, 2.0]]])
    assert metrics.class_sensitivity(first, second).tolist() == [1]
    assert metrics.class_sensitivity(first, 3 * first).tolist() == [0]
    empty = metrics.class_sensitivity(first, torch.zeros(1, 1, 2))
    assert empty.tolist() == pytest.approx([1 - 1 / np.sqrt(2)])  # as if uniform


def test_each_class_is_to_win_on_its_own_object():
    """Two objects beside each other; the maps are those of four methods, one a row."""
    left, right, flat = (torch.tensor([pixels]) for pixels in ([1.0, 0], [0.0, 1], [1.0, 1]))
    first = torch.stack([left, right, left, left])
    second = torch.stack([right, left, left, flat])
    masks = (left > 0).expand(4, 1, 2), (right > 0).expand(4, 1, 2)
    found = metrics.class_accuracy((first, second), masks)
    assert found.tolist() == [1, 0, 0.5, 1]
    assert torch.equal(metrics.class_accuracy((second, first), masks[::-1]), found)


def test_one_object_won_is_half_of_them():
    """Both maps favour the first object, the second map more so: it wins there, and loses here."""
    first, second = torch.tensor([[[3.0, 2.0, 5.0]]]), torch.tensor([[[4.0, 3.0, 3.0]]])
    one, other = torch.eye(3).bool()[:2, None, None]
    assert metrics.class_accuracy((first, second), (one, other)).tolist() == [0.5]


def test_maps_and_masks_of_two_sizes():
    first, second = torch.rand(2, 2, 2), torch.rand(2, 2, 2)
    masks = torch.rand(2, 8, 8) > 0.5, torch.rand(2, 8, 8) > 0.5
    blocks = [maps.repeat_interleave(4, 1).repeat_interleave(4, 2) for maps in (first, second)]
    found = metrics.class_accuracy((first, second), masks, "layer")
    assert torch.equal(found, metrics.class_accuracy((blocks[0], blocks[1]), masks))


# --- noise ---------------------------------------------------------------------------------------


def copier():
    """Its first layer is the picture itself: MeanActivation of it is |x|."""
    copy = nn.Conv2d(1, 1, 1, bias=False)
    nn.init.ones_(copy.weight)
    return nn.Sequential(copy, nn.Flatten(), nn.Linear(32 * 32, 2))


def test_noise_changes_a_copy_by_its_own_size():
    """Uniform noise in [-r, r] has the variance r^2 / 3, and 1,024 pixels are many."""
    images = 1 + torch.rand(3, 1, 32, 32)
    explainer = MeanActivation(copier())
    found = metrics.max_sensitivity(explainer, images, radius=0.3, draws=4)["0"]
    expected = np.sqrt(0.3**2 / 3 * 1024) / images.flatten(1).norm(dim=1).numpy()
    assert found.numpy() == pytest.approx(expected, rel=0.06)
    assert (found.numpy() < np.sqrt(3) * expected).all()
    half = metrics.max_sensitivity(explainer, images, radius=0.15, draws=4)["0"]
    assert half.numpy() == pytest.approx(found.numpy() / 2, rel=1e-4)


def test_more_draws_never_find_less_and_the_seed_decides(model, images):
    explainer = GradCAM(model)
    one, many, again, other = (
        metrics.max_sensitivity(explainer, images, draws=draws, seed=seed, layers=["bn1"])["bn1"]
        for draws, seed in ((1, 0), (6, 0), (6, 0), (1, 1))
    )
    assert (many >= one).all() and (many > one).any()
    assert torch.equal(many, again) and not torch.equal(one, other)


def test_an_image_does_not_depend_on_its_batch(model, images):
    explainer = HiResCAM(model)
    together = metrics.max_sensitivity(explainer, images, draws=2)
    alone = metrics.max_sensitivity(explainer, images[1:], draws=2)
    for layer, value in together.items():
        torch.testing.assert_close(value[1:], alone[layer], rtol=1e-3, atol=1e-6)


def test_a_map_that_looks_at_nothing_never_changes(model, images):
    found = metrics.max_sensitivity(CentreGaussian(model), images, radius=1, draws=2)
    assert all(value.tolist() == [0, 0] for value in found.values())


def test_the_change_of_an_empty_map_is_undefined(model, images):
    images[0] = 0.5  # no edges
    for value in metrics.max_sensitivity(Edges(model), images, draws=2).values():
        assert value.isnan().tolist() == [True, False]


def test_noise_does_not_change_the_question(model, images, spy):
    predicted = GradCAM(model)(images).prediction
    metrics.max_sensitivity(spy(model), images, radius=10, draws=3)
    first, *others = spy.asked
    assert first is None and len(others) == 3
    assert all(torch.equal(score.index, predicted) for score in others)


@pytest.mark.parametrize("settings", [{"radius": 0}, {"radius": -1.0}, {"draws": 0}])
def test_noise_must_be_some(model, images, settings):
    with pytest.raises(BadInput, match="both must be positive"):
        metrics.max_sensitivity(GradCAM(model), images, **settings)


def test_a_last_layer_drawn_anew_leaves_the_features(model, images):
    before = deepcopy(model.state_dict())
    changed = metrics.last_layer_redrawn(model, images, seed=1)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    for name, value in changed.state_dict().items():
        assert torch.equal(value, before[name]) == (not name.startswith("fc.")), name
    again, other = (metrics.last_layer_redrawn(model, images, seed) for seed in (1, 2))
    assert torch.equal(again.fc.weight, changed.fc.weight)
    assert not torch.equal(other.fc.weight, changed.fc.weight)
