"""The networks: their sizes, their attention gates by the formulas, and a flow of each."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from naflow import BadInput, NAFlow, models, scores

#: Of the paper's nine. name: (tensors in the state dict, layers of a flow)
SIZES = {
    "resnet18": (122, 20),
    "resnet50": (320, 36),
    "resnet50_cbam": (480, 36),
    "resnet50_bam": (416, 39),
    "resnet18_npid": (122, 20),
    "resnet50_npid": (320, 36),
    "conv64f": (28, 14),
    "conv4net": (28, 16),
    "resnet50_ms": (320, 36),
}


def lively(model: nn.Module) -> nn.Module:
    """Batch norms that are not trivial, so that no gate is shut or constant."""
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            for values in (module.weight.data, module.running_var):
                values.uniform_(0.5, 1.5)
            for values in (module.bias.data, module.running_mean):
                values.normal_(0, 0.2)
    return model


#: The other one has tests of its own, test_efficientnet.py.
NAMES = [name for name in models.list_models() if name != "efficientnet_lite0"]


@pytest.mark.parametrize("name", NAMES)
def test_every_number_is_there_and_a_flow_is_finite(name: str) -> None:
    model = lively(models.create(name))
    assert sum(p.numel() for p in model.parameters()) == models.card(name).parameters
    assert not model.training
    images = torch.randn(1, 3, 64, 64)
    score = None
    if "embedding" in models.card(name).task:
        with torch.no_grad():
            score = scores.ChannelContribution(model(torch.randn(1, 3, 64, 64)))
    flow = NAFlow(model, "damped", max_iterations=4)(images, score)
    if name in SIZES:
        assert (len(model.state_dict()), len(flow)) == SIZES[name]
    for layer, found in flow:
        assert found.isfinite().all() and found.any(), layer


def test_a_bottleneck_with_its_gates_is_one_unit_and_a_bam_another() -> None:
    x = torch.randn(1, 3, 64, 64)
    plain = NAFlow(models.create("resnet50")).plan(x)
    layers = [unit.layer for unit in plain.units]
    cbam = [unit.layer for unit in NAFlow(models.create("resnet50_cbam")).plan(x).units]
    bam = [unit.layer for unit in NAFlow(models.create("resnet50_bam")).plan(x).units]
    assert cbam == layers
    assert [layer for layer in bam if not layer.startswith("bam")] == layers
    assert [bam[bam.index(f"bam{i}") - 1] for i in (1, 2, 3)] == [
        "layer1.2",
        "layer2.3",
        "layer3.5",
    ]


@pytest.mark.parametrize("name", ["resnet50_cbam", "resnet50_bam"])
def test_without_its_gates_it_is_a_resnet50(name: str) -> None:
    gated, plain = lively(models.create(name)), models.create("resnet50")
    state = gated.state_dict()
    plain.load_state_dict({key: state[key] for key in plain.state_dict()})
    for parent in list(gated.modules()):
        for child in ("cbam", "bam1", "bam2", "bam3"):
            if hasattr(parent, child):
                setattr(parent, child, nn.Identity())
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(gated(x), plain(x))


def test_cbam_by_its_formula() -> None:
    cbam = lively(models.create("resnet50_cbam")).layer1[0].cbam
    x = torch.randn(2, 256, 9, 5)
    first, second = cbam.ChannelGate.mlp[1], cbam.ChannelGate.mlp[3]

    def mlp(v: Tensor) -> Tensor:
        return second(first(v).clamp(min=0))

    channel = mlp(x.flatten(2).mean(2)) + mlp(x.flatten(2).max(2).values)
    y = x * channel.sigmoid().view(2, 256, 1, 1)
    conv, bn = cbam.SpatialGate.spatial.conv, cbam.SpatialGate.spatial.bn
    stacked = torch.stack([y.max(1).values, y.mean(1)], 1)  # the maximum comes first
    logit = nn.functional.conv2d(stacked, conv.weight, padding=3)
    logit = (logit - bn.running_mean) / (bn.running_var + 1e-5).sqrt() * bn.weight + bn.bias
    torch.testing.assert_close(cbam(x), y * logit.sigmoid())


def test_bam_multiplies_its_branches() -> None:
    bam = lively(models.create("resnet50_bam")).bam1
    x = torch.randn(2, 256, 7, 9)
    channel, spatial = bam.channel_att(x), bam.spatial_att(x)
    assert channel.shape == (2, 256, 1, 1) and spatial.shape == (2, 1, 7, 9)
    torch.testing.assert_close(bam(x), x + x * (channel * spatial).sigmoid())
    flat = bam.channel_att.gate_c(x.flatten(2).mean(2))
    torch.testing.assert_close(channel.flatten(1), flat)


def test_untrained_cbam_starts_with_an_open_spatial_gate_of_one_half() -> None:
    cbam = models.create("resnet50_cbam").layer4[2].cbam
    x = torch.randn(1, 2048, 4, 4)
    torch.testing.assert_close(cbam(x), cbam.ChannelGate(x) / 2)


@pytest.mark.parametrize(("name", "length"), [("resnet18_npid", 128), ("resnet50_ms", 512)])
def test_embeddings_lie_on_the_sphere(name: str, length: int) -> None:
    with torch.no_grad():
        v = lively(models.create(name))(torch.randn(3, 3, 64, 64))
    assert v.shape == (3, length)
    torch.testing.assert_close(v.norm(dim=1), torch.ones(3))


def test_batch_norms_of_the_retrieval_network_keep_their_statistics() -> None:
    model = models.create("resnet50_ms").train()
    before = model.bn1.running_mean.clone()
    model(torch.randn(2, 3, 32, 32)).sum().backward()
    assert model.training and not model.bn1.training
    assert torch.equal(model.bn1.running_mean, before)
    assert model.bn1.weight.grad is not None


@pytest.mark.parametrize(
    ("name", "size", "shape"),
    [("conv64f", 84, (64, 21, 21)), ("conv4net", 84, (64, 5, 5)), ("conv4net", 224, (64, 14, 14))],
)
def test_embeddings_of_few_shot_networks(name: str, size: int, shape: tuple[int, ...]) -> None:
    flat, whole = models.create(name), models.create(name, flatten=False)
    whole.load_state_dict(flat.state_dict())
    x = torch.randn(1, 3, size, size)
    with torch.no_grad():
        assert whole(x).shape[1:] == shape
        assert torch.equal(whole(x).flatten(1), flat(x))


def test_a_flow_of_a_feature_map_with_one_weight_a_channel() -> None:
    model = models.create("conv4net", flatten=False)
    x = torch.randn(2, 3, 48, 48)
    with torch.no_grad():
        score = scores.ChannelContribution(model(x)[[1, 0]], spatial_sum=True)
    flow = NAFlow(model, "damped", max_iterations=4)(x, score)
    assert flow.layers[-1] == "block4.pool"
    assert all(found.isfinite().all() for _, found in flow)


def test_settings_of_few_shot_networks() -> None:
    model = models.create("conv64f", slope=0.0, pools=(1, 2, 3), bias=False)
    kinds = [type(m) for m in model.modules()]
    assert kinds.count(nn.ReLU) == 4 and kinds.count(nn.MaxPool2d) == 3
    assert model.block1.conv.bias is None
    assert models.create("conv64f").block1.act.negative_slope == 0.2
    assert models.create("conv4net").block1.act.negative_slope == 0.1
    with pytest.raises(BadInput, match="block numbers from 1 to 4"):
        models.create("conv64f", pools=(0, 1))
    with pytest.raises(BadInput, match="slope=-1: a slope is 0"):
        models.create("conv64f", slope=-1)
