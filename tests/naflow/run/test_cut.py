"""Cutting a run: the right points, the model's own names, and units that run again."""

from __future__ import annotations

import pytest
import torch
from networks import Aliased, Functional, Residual, Undecided, randomised
from own_run import compare, own_run
from torch import Tensor, nn
from torch.nn import functional as F

from naflow import BadInput, NAFlow
from naflow.explainers import HiResCAM
from naflow.run.cut import Unit, cut
from naflow.run.preserve import preserved
from naflow.run.run import run
from naflow.scores import ClassLogit


def units(model: nn.Module, x: Tensor | None = None) -> list[Unit]:
    x = torch.randn(2, 3, 16, 16) if x is None else x
    with preserved(model):
        ran = run(model, x)
        chain = cut(ran, ran.ends())
    chain.keep()
    return chain.units


def names(model: nn.Module, x: Tensor | None = None) -> list[str]:
    return [unit.name for unit in units(model, x)]


# --- points --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Residual, Functional, Aliased, Undecided])
def test_units_compute_the_models_own_output(kind: type[nn.Module]) -> None:
    model, x = randomised(kind()).eval(), torch.randn(2, 3, 16, 16)
    chain = units(model, x)
    other = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        for start in (x, other):  # what ran, and what did not
            expected, y = model(start.clone()), start
            for unit in chain:
                y = unit(y)
            assert torch.allclose(y, expected, atol=1e-6)


def test_a_unit_leaves_its_input_alone() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Conv2d(4, 2, 3))
    relu = units(model)[1]
    x = torch.randn(2, 4, 14, 14)
    given = x.clone()
    assert torch.equal(relu(x), given.relu())
    assert torch.equal(x, given)


def test_a_residual_block_is_one_unit() -> None:
    blocks = [unit for unit in units(Residual()) if unit.name.endswith("add")]
    assert len(blocks) == 2
    for block in blocks:
        assert block.kind == "block of 6 operations" and block.operation is None
        assert len(block.inner) == 5


def test_the_points_are_those_through_which_all_data_flow() -> None:
    """A dense block: only what is before the first skip and after the last."""

    class Dense(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, 4, 3, padding=1)
            self.a, self.b = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(8, 4, 3, padding=1)
            self.end = nn.Conv2d(12, 3, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            a = self.a(x)
            b = self.b(torch.cat([x, a], 1))
            return self.end(torch.cat([x, a, b], 1)).mean((2, 3))

    found = units(Dense())
    assert [unit.name for unit in found] == ["stem", "cat#2", "end", "mean"]
    assert list(found[1].inner) == ["a", "cat", "b"]


def test_what_the_score_does_not_use_is_no_part_of_it() -> None:
    """An auxiliary head, of which nothing leads to the score, opens no way round."""

    class Auxiliary(Undecided):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            x = self.stem(x)
            early = self.fc(torch.cat([x, x[:, :2]], 1).amax((2, 3)))
            return self.fc(self.body(x).mean((2, 3))), early

    flow = HiResCAM(Auxiliary())(torch.randn(2, 3, 8, 8))
    assert flow.layers == ["stem.0", "stem.1", "body.0", "body.1"]
    both = HiResCAM(Auxiliary())(torch.randn(2, 3, 8, 8), lambda output: sum(output)[:, 0])
    assert both.layers == ["stem.0", "stem.1"]


def test_functions_are_named_by_what_they_do() -> None:
    assert [unit.kind for unit in units(Functional())] == [
        "conv2d", "relu", "max_pool2d", "conv2d", "relu", "max_pool2d", "view", "linear",
    ]  # fmt: skip
    assert names(Functional()) == [
        "conv1", "relu", "max_pool2d", "conv2", "relu#2", "max_pool2d#2", "view", "fc",
    ]  # fmt: skip


# --- names ---------------------------------------------------------------------------------------


def test_names_are_the_models_own() -> None:
    assert names(Residual()) == [
        "conv1", "bn1", "relu", "maxpool", "layer1.0.add", "layer1.0", "layer1.1.add", "layer1.1",
        "mean", "fc",
    ]  # fmt: skip


def test_a_value_is_named_after_the_outermost_that_is_no_bare_sequential() -> None:
    class Part(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(x)

    class Own(nn.Sequential):
        pass

    model = nn.Sequential()
    model.first, model.second = Part(), nn.Sequential(nn.Sequential(nn.Conv2d(4, 2, 3)))
    model.third = Own(nn.Conv2d(2, 2, 3))
    assert names(model) == ["first.inner.0", "first", "second.0.0", "third"]


def test_a_module_of_modules_that_are_all_sequential_keeps_a_name() -> None:
    """Where only bare sequentials returned a value that none of their modules made."""

    class Last(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x

    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(Last(), nn.Identity()))
    assert names(model) == ["0"]


def test_a_shared_module_has_one_path_and_a_number() -> None:
    relu = nn.ReLU()
    model = nn.Sequential(nn.Conv2d(3, 4, 3), relu, nn.Conv2d(4, 4, 3), relu, nn.Conv2d(4, 1, 3),
                          relu)  # fmt: skip
    assert names(model) == ["0", "1", "2", "1#2", "4", "1#3"]


def test_functions_under_a_module_carry_its_path() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(4, 4, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            return F.relu(self.conv(x)) * 2 + 1

    model = nn.Sequential(nn.Conv2d(3, 4, 1), Block(), Block())
    assert names(model) == [
        "0", "1.conv", "1.relu", "1.mul", "1", "2.conv", "2.relu", "2.mul", "2",
    ]  # fmt: skip


# --- the last layer, layers and details ----------------------------------------------------------


def test_the_last_map_has_more_than_one_pixel() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 2, 1),
                          nn.Flatten())  # fmt: skip
    images = torch.randn(1, 3, 8, 8)
    assert HiResCAM(model)(images).layers == ["0"]
    assert HiResCAM(model, last="2")(images).layers == ["0", "1", "2"]
    one = nn.Sequential(nn.Conv2d(3, 4, 8), nn.Conv2d(4, 2, 1), nn.Flatten())
    assert HiResCAM(one)(images).layers == ["0", "1"]


def test_channels_last_values_are_no_feature_maps() -> None:
    class Norm(nn.LayerNorm):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    class Swapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.mix = nn.Conv2d(3, 6, 3), nn.Linear(6, 5)

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(x).transpose(1, 3).swapaxes(1, 2)  # (B, H, W, C)
            return torch.permute(self.mix(x), dims=(0, 3, 1, 2))

    model = nn.Sequential(Swapped(), Norm(5), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    found = {unit.name: unit.feature_map for unit in units(model)}
    assert found == {
        "0.conv": True, "0.transpose": False, "0.swapaxes": False, "0.mix": False, "0": True,
        "1.permute": False, "1.layer_norm": False, "1": True, "2": True, "3": False,
    }  # fmt: skip


def test_a_value_without_a_row_an_image_is_no_point() -> None:
    class Patches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.a(x)
            parts = torch.cat(x.chunk(2, dim=3))  # (2 B, 4, H, W / 2)
            parts = self.b(parts)
            return torch.cat(parts.chunk(2), dim=3).mean((2, 3))

    assert names(Patches()) == ["a", "cat#2", "mean"]
    flow = HiResCAM(Patches())(torch.randn(2, 3, 8, 8), ClassLogit(1), detail=True)
    assert not {"cat", "b"} & set(flow.layers)


def test_no_layers_every_layer_and_a_wrong_one() -> None:
    images = torch.randn(2, 3, 16, 16)
    for explainer in (HiResCAM(Residual()), NAFlow(Residual()), NAFlow(Residual(), "damped")):
        assert explainer(images, layers=[]).layers == []
        assert len(explainer(images, layers=None)) == 8
        with pytest.raises(BadInput, match=r"no layer 'layer1.2'.*'layer1\.\d'"):
            explainer(images, layers=["layer1.2"])


def test_detail_names_a_module_and_all_that_is_in_it() -> None:
    images = torch.randn(1, 3, 16, 16)
    whole = HiResCAM(Residual())(images, detail=["layer1"])
    assert whole.layers == HiResCAM(Residual())(images, detail=True).layers
    with pytest.raises(BadInput, match="'conv1' has no feature maps inside"):
        HiResCAM(Residual())(images, detail=["conv1"])


# --- signals and volumes -------------------------------------------------------------------------


def convolutional(rank: int) -> nn.Module:
    conv, pool = getattr(nn, f"Conv{rank}d"), getattr(nn, f"MaxPool{rank}d")
    norm, mean = getattr(nn, f"BatchNorm{rank}d"), getattr(nn, f"AdaptiveAvgPool{rank}d")
    return nn.Sequential(conv(2, 4, 3, padding=1), norm(4), nn.ReLU(), pool(2), conv(4, 5, 3),
                         nn.ReLU(), mean(1), nn.Flatten(), nn.Linear(5, 3))  # fmt: skip


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_signals_pictures_and_volumes(rank: int) -> None:
    model, images = convolutional(rank), torch.randn(2, 2, *[8] * rank)
    flow = HiResCAM(model)(images, ClassLogit(1))
    assert flow.layers == ["0", "1", "2", "3", "4", "5"]
    assert flow["0"].shape == (2, *[8] * rank) and flow["5"].shape == (2, *[2] * rank)
    assert compare(flow, own_run(model, images, ClassLogit(1))) == flow.layers
    for preset in ("damped", "proximal"):
        maps = NAFlow(model, preset)(images, ClassLogit(1)).maps
        assert all(m.shape == flow[n].shape and m.isfinite().all() for n, m in maps.items())


def test_values_of_another_type_are_no_cut_points() -> None:
    """Complex numbers and other precisions on the way are inside a unit, and inverted with it."""

    class Filtered(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = (nn.Conv2d(c, 4, 3, padding=1) for c in (3, 4))

        def forward(self, x: Tensor) -> Tensor:
            f = torch.fft.ifft2(torch.fft.fft2(self.a(x)) * 0.5).real
            return self.b(f.double().float()).relu().mean((2, 3))

    model, x = Filtered(), torch.randn(2, 3, 8, 8)
    flow = HiResCAM(model)(x, ClassLogit(1))
    assert flow.layers == ["a", "real", "float", "b", "relu"]
    for preset in ("selective", "damped"):
        found = NAFlow(model, preset)(x, ClassLogit(1))
        assert all(maps.dtype == torch.float32 and maps.isfinite().all() for _, maps in found)
    f = model.a(x).detach().requires_grad_()
    halved = torch.fft.ifft2(torch.fft.fft2(f) * 0.5).real
    score = model.b(halved).relu().mean((2, 3))[:, 1].sum()
    (gradient,) = torch.autograd.grad(score, f)
    torch.testing.assert_close(flow["a"], (gradient * f).sum(1).relu().detach())
