"""Drawing: scaling, enlarging, colours, and files whose bytes repeat."""

import numpy as np
import pytest
import torch

from naflow import plot
from naflow.errors import BadInput


def test_minmax():
    np.testing.assert_allclose(
        plot.minmax(np.array([[1.0, 3.0], [2.0, 5.0]])), [[0, 0.5], [0.25, 1]]
    )
    assert not plot.minmax(np.full((2, 2), 7.0)).any()


@pytest.mark.parametrize(
    "bad", [np.array([[np.nan, 0]]), np.array([[np.inf, 0]]), np.zeros(3), np.zeros((1, 2, 2))]
)
def test_a_map_that_cannot_be_scaled(bad):
    with pytest.raises(BadInput):
        plot.minmax(bad)


@pytest.mark.parametrize(
    ("old", "new"), [((4, 4), (32, 32)), ((3, 5), (8, 20)), ((1, 1), (6, 6)), ((7, 7), (7, 7))]
)
def test_enlarged_is_bilinear_as_in_torch(old, new):
    values = np.random.default_rng(0).random(old)
    want = torch.nn.functional.interpolate(
        torch.from_numpy(values)[None, None], size=new, mode="bilinear", align_corners=False
    )
    np.testing.assert_allclose(plot.enlarged(values, new), want[0, 0].numpy(), atol=1e-12)


def test_overlay_colours_where_the_map_is_high_and_leaves_grey_where_it_is_low():
    attention = np.zeros((4, 4))
    attention[:2] = 1
    drawn = plot.overlay(np.full((16, 16, 3), 0.5), attention)
    assert drawn.shape == (16, 16, 3)
    assert drawn.min() >= 0
    assert drawn.max() <= 1
    high, low = drawn[0, 0], drawn[-1, -1]
    assert np.ptp(low) < 1e-9
    assert high[0] > 2 * high[1]


def test_overlay_needs_a_colour_picture():
    with pytest.raises(BadInput, match=r"\(H, W, 3\) is needed"):
        plot.overlay(np.zeros((4, 4)), np.zeros((2, 2)))


def flows():
    rng = np.random.default_rng(0)
    return {
        name: {f"layer{n}": rng.random((8 // 2**n, 8 // 2**n)) for n in range(3)}
        for name in ("A", "B (x)")
    }


@pytest.mark.parametrize("ending", ["png", "pdf", "svg"])
def test_the_same_figure_has_the_same_bytes(tmp_path, ending):
    image = np.random.default_rng(1).random((32, 32, 3))
    for name in ("first", "second"):
        plot.save(plot.flow_figure(image, flows()), tmp_path / f"{name}.{ending}", dpi=60)
    assert (tmp_path / f"first.{ending}").read_bytes() == (
        tmp_path / f"second.{ending}"
    ).read_bytes()


def test_unknown_ending_and_a_wrong_number_of_axes(tmp_path):
    figure = plot.flow_figure(np.zeros((8, 8, 3)), flows())
    with pytest.raises(BadInput, match=r"\.png, \.pdf or \.svg"):
        plot.save(figure, tmp_path / "figure.gif")
    with pytest.raises(BadInput, match="3 maps on 2 axes"):
        plot.strip(figure.axes[:2], np.zeros((8, 8, 3)), flows()["A"])
