"""The table of what naflow reaches: a model that fails is a line of it and does not end it, and
what is wrong is said."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from bench.zoo import row as row_of
from bench.zoo.models import TIMM, TIMM_TRANSFORMERS, Entry
from bench.zoo.page import page, problems
from bench.zoo.row import against_hooks, measured
from naflow.explainers import HiResCAM


class Small(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 3),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3),
        )  # fmt: skip


class Slow(Small):
    def forward(self, x: Tensor) -> Tensor:
        time.sleep(30)
        return super().forward(x)


class Detached(Small):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.detach())


def fails() -> nn.Module:
    raise RuntimeError("no weights | here")


@pytest.fixture(scope="module")
def rows() -> list:
    models = {"a: small": Small, "a: fails": fails, "a: slow": Slow, "b: detached": Detached}
    return [
        measured(Entry(name, build, 16), 1, limit=1 if build is Slow else 60)
        for name, build in models.items()
    ]


def test_a_row(rows: list) -> None:
    small = rows[0]
    assert (small.maps, small.compared, small.error) == (4, 4, 0.0)
    assert small.finite == dict.fromkeys(["Grad-CAM", "selective", "LRP", "damped"], True)
    assert set(small.cost) == {"Grad-CAM", "selective"}
    assert small.conservation == pytest.approx((0, 0), abs=1e-4)
    assert not problems(small)


def test_what_fails_is_a_row(rows: list) -> None:
    assert problems(rows[1]) == ["model: RuntimeError: no weights | here"]
    assert problems(rows[2]) == ["time: not finished within 1 s"]
    assert "No gradient leads" in rows[3].said["all"]
    assert problems(rows[3]) == ["a CNN that is refused"]


def test_the_page(rows: list) -> None:
    text = page(rows, ["nothing: skipped"], "python -m bench.zoo", 1)
    assert "4 models of 2 packages" in text
    assert "1 explained, 1 refused as a whole; something went wrong with 3" in text
    assert "| a: small | 16 |" in text
    assert "- `b: detached`: No gradient leads" in text
    assert "- `a: slow`: time: not finished within 1 s" in text
    assert "- nothing: skipped" in text
    assert "of 1. `selective`:" in text  # the costs of a single model


def test_hooks_that_are_off_with_one_image_are_told_and_no_fault(rows: list) -> None:
    differs = replace(rows[0], name="a: b", error=0.5)
    off = replace(rows[0], name="a: c", error=1e-8, hooks_off=0.25)
    text = page([differs, off], [], "python -m bench.zoo", 1)
    assert "something went wrong with 1. Largest difference from hooks 5.0e-01." in text
    assert "- `a: b`: HiResCAM differs from hooks by 5.0e-01\n" in text
    assert "## Where the hooks are off" in text and "- `a: c`: 2.5e-01\n" in text
    assert "hooks are off" not in page([differs], [], "python -m bench.zoo", 1)


class OnceOff(Small):
    """A model whose gradient is another one if there is one image, as a hook sees it."""

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        if len(x) == 1 and OnceOff.off:
            y.register_hook(lambda g: g * 0.5)
        return y

    off = False


def test_a_flow_is_held_against_the_image_given_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    against = row_of.against_hooks

    def off(model: OnceOff, images: Tensor, score: object, flow: object) -> tuple:
        with monkeypatch.context() as patched:
            patched.setattr(OnceOff, "off", True)
            return against(model, images, score, flow)  # ty: ignore[invalid-argument-type]

    monkeypatch.setattr(row_of, "against_hooks", off)
    row = measured(Entry("a: once off", OnceOff, 16), 1, limit=60)
    assert row.hooks_off is not None and row.hooks_off > 0.01
    assert row.error is not None and row.error < 1e-6 and not problems(row)


def test_a_wrong_map_is_seen() -> None:
    model, images = Small().eval(), torch.randn(2, 3, 16, 16)
    flow = HiResCAM(model)(images)
    assert against_hooks(model, images, None, flow) == (0.0, 4)
    flow.maps["1"].mul_(1.5)  # the input of an in-place layer
    error, _ = against_hooks(model, images, None, flow)
    assert 0.01 < error <= 0.5


def test_a_transformer_that_is_explained_is_wrong() -> None:
    row = measured(Entry("a: small", Small, 16, "transformer"), 1, 20)
    assert problems(row) == ["it is a transformer, and is explained: 4 maps"]


def test_the_list_is_wide() -> None:
    assert len(set(TIMM)) == len(TIMM) >= 60
    assert not set(TIMM).intersection(TIMM_TRANSFORMERS)
