"""The controls against hooks, numpy and scipy; the same call as every other method."""

import numpy as np
import pytest
import torch
from networks import Residual, Undecided, randomised
from scipy.ndimage import sobel
from scipy.stats import kstest
from torch import nn

from naflow.errors import BadInput
from naflow.explainers import CentreGaussian, Edges, GradCAM, MeanActivation, RandomMap

CONTROLS = (MeanActivation, CentreGaussian, Edges, RandomMap)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(1)
    return randomised(Residual()).eval()


@pytest.fixture
def images():
    return torch.randn(3, 3, 32, 32)


@pytest.mark.parametrize("control", CONTROLS)
def test_the_call_is_that_of_every_method(control, model, images):
    plain = GradCAM(model)(images, detail=True)
    flow = control(model)(images, detail=True, keep=("importance",))
    assert flow.layers == plain.layers
    assert [m.shape for _, m in flow] == [m.shape for _, m in plain]
    assert all(m.dtype == images.dtype and bool((m >= 0).all()) for _, m in flow)
    assert torch.equal(flow.score, plain.score) and torch.equal(flow.output, plain.output)
    assert flow.method == control.name
    assert list(flow.importance) == flow.layers
    assert control(model)(images, layers=["bn1"]).layers == ["bn1"]
    assert control(model, last="bn1")(images).layers == ["conv1", "bn1"]
    with pytest.raises(BadInput, match="no layer 'bn7'"):
        control(model)(images, layers=["bn7"])


@pytest.mark.parametrize("control", CONTROLS)
def test_a_model_that_looks_at_its_values(control, images):
    flow = control(Undecided())(images)
    assert flow.layers == ["stem.0", "stem.1", "body.0", "body.1"]


@pytest.mark.parametrize("control", CONTROLS)
def test_an_image_does_not_depend_on_its_batch(control, model, images):
    flow, turned = control(model)(images), control(model)(images.flip(0))
    for number in range(3):
        alone = control(model)(images[number : number + 1])
        for layer, maps in flow:
            torch.testing.assert_close(maps[number], alone[layer][0])
            torch.testing.assert_close(maps[number], turned[layer][2 - number])


def test_mean_activation_is_what_a_hook_sees(model, images):
    seen = []
    handle = model.layer1[0].bn1.register_forward_hook(lambda *args: seen.append(args[2].clone()))
    model(images)
    handle.remove()
    found = MeanActivation(model)(images, detail=True)["layer1.0.bn1"]
    assert bool((seen[0] < 0).any())
    assert found.numpy() == pytest.approx(np.abs(seen[0].detach().numpy()).sum(1), rel=1e-5)


@pytest.mark.parametrize("deviation", [0.25, 0.1])
def test_centre_written_out(deviation, model, images):
    found = CentreGaussian(model, deviation=deviation)(images[..., :16], layers=["bn1"])["bn1"]
    assert found.shape == (3, 16, 8)
    for i, j in ((0, 0), (7, 4), (15, 2)):
        squared = ((i + 0.5) / 16 - 0.5) ** 2 + ((j + 0.5) / 8 - 0.5) ** 2
        expected = np.exp(-squared / (2 * deviation**2))
        assert found[:, i, j].tolist() == pytest.approx([expected] * 3, rel=1e-5)
    assert torch.equal(found, found.flip(1)) and torch.equal(found, found.flip(2))


@pytest.mark.parametrize("deviation", [0, -1.0, float("nan"), float("inf"), 10**30, 10**400, "1"])
def test_a_deviation_that_is_no_share_is_refused(deviation, model):
    with pytest.raises(BadInput, match="it is a positive share of the side, at most 1e"):
        CentreGaussian(model, deviation=deviation)


def scipys_edges(grey):
    return np.stack(
        [np.hypot(*(sobel(one, axis, mode="nearest") for axis in (0, 1))) for one in grey]
    )


def test_edges_are_scipys(model, images):
    edges = scipys_edges(np.tensordot(images.numpy(), [0.299, 0.587, 0.114], (1, 0)))
    flow = Edges(model)(images)
    for layer, side in (("conv1", 2), ("maxpool", 4)):
        blocks = edges.reshape(3, 32 // side, side, 32 // side, side).mean((2, 4))
        assert flow[layer].numpy() == pytest.approx(blocks, rel=1e-4), layer


def test_edges_of_grey_and_of_flat_pictures(images):
    model = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.LazyLinear(2))
    model(images[:, :1])
    flow = Edges(model)(images[:, :1])
    assert flow["0"].numpy() == pytest.approx(scipys_edges(images[:, 0].numpy()), rel=1e-4)
    assert not Edges(model)(torch.full((1, 1, 32, 32), 0.1))["0"].any()


def test_noise_is_uniform_and_differs_by_image_layer_and_seed(model):
    images = torch.randn(2, 3, 128, 128)
    flow = RandomMap(model)(images)
    assert kstest(flow["conv1"].flatten().numpy(), "uniform").pvalue > 0.001
    both = flow["conv1"], flow["bn1"], RandomMap(model, seed=1)(images)["conv1"]
    maps = np.concatenate([maps.flatten(1).numpy() for maps in both])
    assert np.abs(np.corrcoef(maps) - np.eye(6)).max() < 0.07
    assert torch.equal(RandomMap(model, seed=0)(images)["conv1"], flow["conv1"])


def test_noise_leaves_the_generators_alone(model, images):
    before = torch.get_rng_state()
    RandomMap(model)(images)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("deviation", [0, -1.0, float("nan")])
def test_a_deviation_is_positive(deviation, model):
    with pytest.raises(BadInput, match="positive share"):
        CentreGaussian(model, deviation=deviation)
