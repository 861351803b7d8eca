"""Neurons of a layer removed: a linear head worked out by hand, and hooks on the plain model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from networks import Functional, Residual, Undecided, randomised
from untouched import same, state_of

from naflow import NAFlow
from naflow.errors import BadInput
from naflow.metrics.answers import ClassProbability
from naflow.metrics.in_layer import (
    SHARES,
    Rest,
    abandoned_mass,
    causal_check,
    in_layer_deletion,
)
from naflow.metrics.perturbation import area_under
from naflow.reverse.record import record
from naflow.run.preserve import preserved
from naflow.scores import ClassLogit

CLASSES = [2, 0]


def network(kind=Residual):
    torch.manual_seed(4)
    return randomised(kind()).eval()


def pictures(count=2):
    return torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(2))


def recorded(model, images=None, score=None):
    images = pictures() if images is None else images
    with preserved(model):
        return record(model, images, score or ClassLogit(CLASSES), detail=True)


def rest_of(model, layer, **options):
    return Rest(recorded(model), layer, **options)


def random_neurons(rest, share=0.3):
    return torch.rand(rest.activation.shape, generator=torch.Generator().manual_seed(5)) < share


def hooked(model, module, removed, value):
    """The model's own scores with a layer's neurons set, by a hook on that module."""
    handle = model.get_submodule(module).register_forward_hook(
        lambda m, a, y: torch.where(removed, value, y)
    )
    try:
        with torch.no_grad():
            return model(pictures()).gather(1, torch.tensor(CLASSES)[:, None])[:, 0].double()
    finally:
        handle.remove()


# --- the model from a layer on -------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Residual, Functional, Undecided])
def test_with_no_neuron_removed_it_is_the_models_own_score(kind):
    model = network(kind)
    layers = recorded(model).layers
    assert len(layers) > 1
    for layer in layers:
        found = recorded(model)
        rest = Rest(found, layer)
        none = torch.zeros(rest.activation.shape, dtype=torch.bool)
        torch.testing.assert_close(rest(none), found.score.double(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("layer", ["conv1", "bn1", "maxpool", "layer1.0", "layer1.1"])
@pytest.mark.parametrize("value", [0.0, 0.7])
def test_equals_a_hook_on_the_plain_model(layer, value):
    model = network()
    for module in model.modules():
        if hasattr(module, "inplace"):
            module.inplace = False
    found = recorded(model)
    rest = Rest(found, layer, neutral=value)
    removed = random_neurons(rest)
    expected = hooked(model, layer, removed, torch.tensor(value))
    assert not torch.allclose(expected, found.score.double(), rtol=1e-3)
    torch.testing.assert_close(rest(removed), expected, rtol=1e-5, atol=1e-6)


def test_inside_a_block_and_where_values_are_looked_at():
    model = network()
    for layer in ("layer1.0.conv1", "layer1.1.bn2"):
        found = recorded(model)
        assert any(layer in unit.inner for unit in found.chain.units)
        rest = Rest(found, layer, neutral=0.2)
        removed = random_neurons(rest)
        expected = hooked(model, layer, removed, torch.tensor(0.2))
        torch.testing.assert_close(rest(removed), expected, rtol=1e-5, atol=1e-6)
    model = network(Undecided)
    rest = rest_of(model, "stem.1")
    removed = random_neurons(rest)
    expected = hooked(model, "stem", removed, torch.tensor(0.0))
    torch.testing.assert_close(rest(removed), expected, rtol=1e-5, atol=1e-6)


def test_neutral_is_what_the_batch_norm_behind_takes_for_nothing():
    model = network()
    for layer, norm in (("conv1", "bn1"), ("layer1.0.conv2", "layer1.0.bn2")):
        mean = model.get_submodule(norm).running_mean
        assert torch.equal(rest_of(model, layer).neutral[:, 0, 0], mean)
    for layer in ("bn1", "maxpool", "layer1.0", "layer1.0.bn1"):
        assert float(rest_of(model, layer).neutral) == 0


def test_the_class_stays_the_one_that_was_predicted():
    model, images = network(), pictures(6)
    with torch.no_grad():
        model.fc.bias -= model(images).mean(0)
    found = recorded(model, images, ClassLogit())
    rest = Rest(found, "layer1.1")
    everything = torch.ones(rest.activation.shape, dtype=torch.bool)
    torch.testing.assert_close(rest(everything), model.fc.bias[found.prediction].double())
    assert len(set(found.prediction.tolist())) > 1
    again = recorded(model, images, ClassLogit())
    likely = Rest(again, "layer1.1", score=ClassProbability(found.prediction))
    expected = model.fc.bias.softmax(0)[found.prediction].double()
    torch.testing.assert_close(likely(everything), expected)


def test_the_model_is_left_as_it_was():
    model = network().train()
    model.layer1[0].eval()
    before = state_of(model)
    rest = rest_of(model, "maxpool")
    activation = rest.activation.clone()
    assert not rest(random_neurons(rest)).requires_grad
    assert torch.equal(rest.activation, activation) and same(before, state_of(model))


# --- deletion ------------------------------------------------------------------------------------


def test_the_curve_of_a_linear_head_is_a_cumulative_sum():
    """Behind the last block come the mean and a linear layer: the score is a bias plus the
    contributions, and what is removed is what is missing."""
    found = recorded(network())
    rest = Rest(found, "layer1.1")
    x, g = rest.activation, rest.importance
    c = (g * x).double().flatten(1).numpy()
    order = np.argsort(-np.abs(c), axis=1, kind="stable")
    sums = np.cumsum(np.take_along_axis(c, order, 1), axis=1)
    counts = [round(share * c.shape[1]) for share in SHARES]
    missing = np.stack([sums[:, n - 1] if n else np.zeros(2) for n in counts], axis=1)
    expected = found.score.double().numpy()[:, None] - missing
    curve = in_layer_deletion(rest, g * x)
    assert curve.shape == (2, 21) and curve.dtype == torch.float64
    assert curve.numpy() == pytest.approx(expected, abs=1e-5)


def test_the_contributions_of_a_linear_head_delete_faster_than_chance():
    rest = rest_of(network(), "layer1.1")
    x, g = rest.activation, rest.importance
    best = area_under(in_layer_deletion(rest, (g * x).relu()))
    for seed in range(5):
        uniform = torch.ones_like(x)
        chance = area_under(in_layer_deletion(rest, uniform, seed=seed))
        assert bool((best < chance).all())


def test_contributions_of_zero_are_told_and_not_scored():
    rest = rest_of(network(), "maxpool")
    c = rest.importance * rest.activation
    c[1] = 0
    curve = in_layer_deletion(rest, c, shares=[0.1, 0.2])
    assert curve.isnan().all(1).tolist() == [False, True]
    again = in_layer_deletion(rest, c, shares=[0.1, 0.2])
    assert torch.equal(curve[0], again[0])


# --- abandoned neurons ---------------------------------------------------------------------------


def test_abandoned_mass_written_out():
    contributions = torch.tensor([[1.0, -3.0, 4.0, 0.0], [1, 1, 1, 1], [0, 0, 0, 0]])
    importance = torch.tensor([[0.0, 0.0, 2.0, 1.0], [1, 2, 3, -4], [0, 1, 0, 1]])
    shaped = (t.view(3, 1, 2, 2) for t in (contributions, importance))
    assert abandoned_mass(*shaped).tolist() == pytest.approx([4 / 8, 0, torch.nan], nan_ok=True)


def test_methods_that_abandon_neurons_have_no_abandoned_mass_and_grad_cam_has():
    model = network()
    flow = NAFlow(model, "damped")(pictures(), ClassLogit(CLASSES), keep=("importance", "bpfm"))
    for layer in ("bn1", "relu"):
        g, x = flow.importance[layer], recorded(model).at(layer).activation
        assert abandoned_mass(g * flow.bpfm[layer], g).tolist() == [0, 0]
        assert float(abandoned_mass(g.mean((2, 3), keepdim=True) * x, g).min()) > 0.1


@pytest.mark.parametrize("layer", ["bn1", "relu", "layer1.0.bn1"])
def test_abandoned_neurons_move_nothing_and_used_ones_do(layer):
    """What a ReLU closes, or a max pool passes over, is below what it lets through: set to 0 it
    stays so."""
    rest = rest_of(network(), layer)
    assert float((rest.importance == 0).double().mean()) > 0.2
    abandoned, used = causal_check(rest)
    assert float(abandoned.max()) < 1e-6 and float(used.min()) > 0.005
    assert torch.equal(used, causal_check(rest).used)


def test_as_many_used_neurons_are_removed_as_are_abandoned():
    sizes = []

    class Counted(Rest):
        def __call__(self, removed):
            sizes.append((removed.flatten(1).sum(1), (removed & (self.importance != 0)).sum()))
            return super().__call__(removed)

    rest = Counted(recorded(network()), "relu")
    causal_check(rest)
    unused = (rest.importance == 0).flatten(1).sum(1)
    (none, _), (abandoned, of_used), (drawn, drawn_used) = sizes
    assert not none.any() and not of_used
    assert torch.equal(abandoned, unused)
    assert torch.equal(drawn, torch.minimum(unused, rest.importance[0].numel() - unused))
    assert drawn_used == drawn.sum()


def test_a_layer_without_abandoned_neurons_has_no_check():
    rest = rest_of(network(), "layer1.1")  # read by a mean: every neuron is used
    assert causal_check(rest).abandoned.isnan().all() and causal_check(rest).used.isnan().all()


# --- what cannot be asked ------------------------------------------------------------------------


def test_what_does_not_fit():
    model = network()
    with pytest.raises(BadInput, match="no layer 'layer9'"):
        rest_of(model, "layer9")
    with pytest.raises(BadInput, match=r"neutral has shape \(3, 1, 1\)"):
        rest_of(model, "relu", neutral=torch.zeros(3, 1, 1))
    rest = rest_of(model, "relu")
    x = rest.activation
    with pytest.raises(BadInput, match="contributions have shape"):
        in_layer_deletion(rest, x[:, :2])
    with pytest.raises(BadInput, match="from 0 to 1"):
        in_layer_deletion(rest, x, shares=[0.5, 2])
    with pytest.raises(BadInput, match=r"images \[0, 1\] hold NaN"):
        in_layer_deletion(rest, x / 0)
    with pytest.raises(BadInput, match="they are of the same neurons"):
        abandoned_mass(x, x[:1])
    with pytest.raises(BadInput, match=r"images \[0, 1\] is 0"):
        causal_check(rest_of(model, "relu", score=lambda output: 0 * output.sum(1)))
