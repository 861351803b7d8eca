"""The model from a layer on: hooks on the model itself say what is right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from networks import Functional, Residual, Undecided, randomised
from torch import Tensor, nn

from naflow import UnsupportedModel
from naflow.perturb.ablation import Ablated, Onward
from naflow.reverse.record import record
from naflow.run.preserve import preserved
from naflow.scores import ClassLogit


def onward(model: nn.Module, images: Tensor, layer: str, score: Any = None) -> Onward:
    with preserved(model):
        return Onward(record(model, images, score or ClassLogit(0), detail=True).chain, layer)


def hooked(model: nn.Module, images: Tensor, layer: str, value: Tensor) -> Any:
    """The output when the module gives this value."""
    with (
        torch.no_grad(),
        model.get_submodule(layer).register_forward_hook(lambda m, a, y: value.clone()),
    ):
        return model.eval()(images)


@pytest.fixture
def images() -> Tensor:
    return torch.randn(2, 3, 16, 16)


@pytest.mark.parametrize(
    ("kind", "layer"),
    [
        (Residual, "conv1"),
        (Residual, "maxpool"),
        (Residual, "layer1.0"),
        (Residual, "layer1.0.conv1"),
        (Residual, "layer1.1.bn2"),
        (Functional, "conv2"),
        (Undecided, "stem.1"),
    ],
)
def test_another_activation_runs_on_as_the_model_does(
    kind: type[nn.Module], layer: str, images: Tensor
) -> None:
    model = randomised(kind()).eval()
    rest = onward(model, images, layer)
    same = rest(rest.value.tensor())
    assert torch.allclose(same, model(images), atol=1e-6)
    other = torch.randn(rest.value.shape)
    given = other.clone()
    assert torch.allclose(rest(other), hooked(model, images, layer, other), atol=1e-6)
    assert torch.equal(other, given)
    assert not rest(other).requires_grad


def test_what_reads_the_map() -> None:
    model, images = randomised(Residual()).eval(), torch.randn(1, 3, 16, 16)
    assert [o.name for o in onward(model, images, "conv1").readers] == ["batch_norm"]
    assert [o.name for o in onward(model, images, "maxpool").readers] == ["conv2d", "add"]


@pytest.mark.parametrize("wrap", [lambda z, f: (z, f), lambda z, f: {"logits": z, "map": f}])
def test_the_output_keeps_its_form(wrap: Callable[[Tensor, Tensor], Any], images: Tensor) -> None:
    class Wrapped(Undecided):
        def forward(self, x: Tensor) -> Any:
            f = self.body(self.stem(x))
            return wrap(self.fc(f.mean((2, 3))), f)

    model = Wrapped().eval()
    rest = onward(model, images, "stem.1")
    other = torch.randn(rest.value.shape)
    found, expected = rest(other), hooked(model, images, "stem.1", other)
    assert type(found) is type(expected)
    pairs = zip(*(list(o.values() if isinstance(o, dict) else o) for o in (found, expected)),
                strict=True)  # fmt: skip
    for a, b in pairs:
        assert torch.allclose(a, b, atol=1e-6)


class Straight(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor) -> Tensor:
        return a.sign()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


@pytest.mark.parametrize("last", [True, False])
def test_unseen_code_behind_the_layer_is_refused_by_name(last: bool, images: Tensor) -> None:
    class Signed(Undecided):
        def forward(self, x: Tensor) -> Tensor:
            z = self.fc(Straight.apply(self.stem(x)).repeat(1, 2, 1, 1)[:, :6].mean((2, 3)))
            return Straight.apply(z) if last else z

    rest = onward(Signed().eval(), images, "stem.0")
    with pytest.raises(UnsupportedModel, match=r"'Straight'.*cannot be run again"):
        rest(torch.randn(rest.value.shape))


def test_an_ablated_layer_lacks_one_channel_a_row() -> None:
    x = torch.randn(2, 5, 3, 3)
    place = Ablated()
    assert place.activations_to_be_ablated(x[1].numpy(), 1.0).tolist() == [0, 1, 2, 3, 4]
    place.set_next_batch(1, x, 3)
    place.indices = place.indices[2:]
    found = place(x)
    for row, channel in enumerate((2, 3, 4)):
        expected = x[1].clone()
        expected[channel] = 0
        assert torch.equal(found[row], expected)
