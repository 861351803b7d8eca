"""Drawing: scaling, enlarging, colours, and files whose bytes repeat."""

import numpy as np
import pytest
import torch

from naflow import plot
from naflow.errors import BadInput

SIZE = (224, 224)


def spot(cells, at, size=1, background=0.0):
    attention = np.full((cells, cells), background)
    attention[at : at + size, at : at + size] = 1
    return attention


@pytest.mark.parametrize("cells", [7, 14, 112, 224])
def test_a_map_spread_everywhere_looks_spread_everywhere(cells):
    """Also where one cell is a hundred times as bright, and where it is noise about its mean."""
    assert (plot.levels(np.full((cells, cells), 3e-7), SIZE) == 1).all()
    noise = 1 + 0.1 * np.random.default_rng(0).standard_normal((cells, cells))
    assert plot.levels(noise, SIZE).min() > 0.5
    if cells > 50:
        noise[cells // 2, cells // 2] = 100
        assert np.median(plot.levels(noise, SIZE)) > 0.7


def test_nothing_stays_grey():
    assert not plot.levels(np.zeros((7, 7)), SIZE).any()


@pytest.mark.parametrize("cells", [7, 28, 56, 112, 224])
def test_a_single_cell_is_seen_at_every_resolution(cells):
    """As a spot of the cell's own size, or of the finest that is drawn, and nowhere else."""
    drawn = plot.levels(spot(cells, cells // 2), SIZE)
    assert drawn.max() == 1
    seen = (drawn > 0.5).mean()
    assert 1e-4 < seen < max(4 / cells**2, 0.006)
    assert drawn[:60, :60].max() == 0
    small = plot.levels(spot(cells, cells // 2), (64, 64))
    assert small.max() > 0.9, "a thumbnail shows it, too"


def test_one_bright_cell_does_not_set_the_scale():
    attention = spot(112, 40, size=24)
    attention[2, 2] = 1000
    drawn = plot.levels(attention, SIZE)
    assert drawn[84:120, 84:120].min() > 0.9
    assert drawn[4:6, 4:6].min() == 1


def test_what_is_weak_is_drawn_weak_and_seen():
    image = np.full((*SIZE, 3), 0.5)
    attention = spot(14, 2, size=3)
    attention[8:11, 8:11] = 0.1
    drawn = plot.overlay(image, attention)
    strong, weak, nothing = drawn[56, 56], drawn[152, 152], drawn[10, 200]
    assert np.ptp(nothing) < 1e-9
    assert np.abs(weak - nothing).max() > 0.06  # of 1: 15 of 255 grey values
    assert np.abs(strong - nothing).max() > 2 * np.abs(weak - nothing).max()


def test_negative_values_are_below_nothing():
    attention = np.linspace(-1, 1, 49).reshape(7, 7)
    drawn = plot.smoothed(attention, SIZE)
    low, high = plot.limits(drawn)
    assert low == np.percentile(drawn, 0.5)
    assert high == np.percentile(drawn, 99.5)
    assert plot.levels(attention, SIZE)[0, 0] == 0
    assert plot.limits(np.full((4, 4), -2.0)) == (-2.0, -2.0)


@pytest.mark.parametrize(
    ("cells", "sigma"), [(7, None), (34, None), (56, 0.012), (112, 0.012), (224, 0.012)]
)
def test_how_far_a_map_is_smoothed(cells, sigma):
    """As far as its cells are finer than 1.2 % of the picture, whatever it is drawn on."""
    drawn = plot.smoothed(spot(cells, cells // 2), (448, 448))
    if sigma is None:
        np.testing.assert_array_equal(drawn, plot.enlarged(spot(cells, cells // 2), (448, 448)))
        return
    along = drawn.sum(0) / drawn.sum()
    at = np.arange(448) - (along * np.arange(448)).sum()
    assert np.sqrt((along * at**2).sum()) / 448 == pytest.approx(sigma, rel=0.15)
    assert drawn.mean() == pytest.approx(1 / cells**2, rel=0.05)


def test_a_wide_picture_is_smoothed_as_a_square_one():
    left = spot(112, 30)
    wide = plot.smoothed(np.concatenate([left, np.zeros_like(left)], axis=1), (224, 448))
    np.testing.assert_allclose(wide[:, :200], plot.smoothed(left, SIZE)[:, :200], atol=1e-12)


@pytest.mark.parametrize(
    "bad", [np.array([[np.nan, 0]]), np.array([[np.inf, 0]]), np.zeros(3), np.zeros((1, 2, 2))]
)
def test_a_map_that_cannot_be_drawn(bad):
    with pytest.raises(BadInput):
        plot.levels(bad, SIZE)


def test_one_sentence_says_it():
    assert plot.CONVENTION.count(". ") == 0
    for word in ("1.2 %", "99.5th percentile", "zero"):
        assert word in plot.CONVENTION


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


def test_a_figure_says_what_its_colours_mean():
    figure = plot.flow_figure(np.zeros((8, 8, 3)), flows())
    assert " ".join(figure.get_supxlabel().split()) == plot.CONVENTION


@pytest.mark.parametrize("size", [(8, 16), (8, 8), (16, 8)])
def test_panels_fill_their_columns_whatever_the_image_is_like(size):
    figure = plot.flow_figure(np.zeros((*size, 3)), flows())
    figure.draw_without_rendering()
    first, second = (ax.get_window_extent() for ax in figure.axes[:2])
    assert first.width / first.height == pytest.approx(size[1] / size[0], rel=0.01)
    assert first.width > 0.8 * (second.x0 - first.x0)


def test_unknown_ending_and_a_wrong_number_of_axes(tmp_path):
    figure = plot.flow_figure(np.zeros((8, 8, 3)), flows())
    with pytest.raises(BadInput, match=r"\.png, \.pdf or \.svg"):
        plot.save(figure, tmp_path / "figure.gif")
    with pytest.raises(BadInput, match="3 maps on 2 axes"):
        plot.strip(figure.axes[:2], np.zeros((8, 8, 3)), flows()["A"])
