"""The page draws the pixels that naflow.plot draws."""

import numpy as np
import pytest
from made_maps import LAYERS
from made_report import PAIR, canvas_of
from matplotlib import colormaps

from naflow import plot
from pipeline.pictures.images import Folder
from pipeline.pictures.pixels import read

expect = pytest.importorskip("playwright.sync_api").expect


def drawn(canvas):
    return canvas.evaluate(
        "one => [one.width, ...one.getContext('2d').getImageData(0, 0, one.width, one.height).data]"
    )


def pixels(canvas):
    size, *values = drawn(canvas)
    return np.array(values).reshape(size, size, 4)[..., :3] / 255


def assert_alike(found, wanted):
    """Equal but for rounding, and for levels on the border of two of the 256 colours."""
    assert np.abs(found - wanted).max() <= 3 / 255
    assert np.abs(found - wanted).mean() <= 0.4 / 255


def photograph(images, key):
    folder = Folder(**{name: value for name, value in images.items() if name != "_target_"})
    cut = read([folder.of_id(key)], [], 32, "crop", quiet=True).images[0]
    return cut.permute(1, 2, 0).numpy() / 255


@pytest.mark.parametrize("strength", [0.85, 0.4])
@pytest.mark.parametrize("layer", LAYERS)
def test_the_page_draws_what_the_figures_draw(opened, report, images, layer, strength):
    page = opened(f"#figure=fig04&picture=disc_test_000&layer={layer}")
    page.get_by_label("Overlay strength").fill(str(strength))
    for method, name in (("naflow", "NAFlow"), ("gradcam", "Grad-CAM")):
        wanted = plot.overlay(
            photograph(images, "disc_test_000"), report[1][method][layer][0], strength
        )
        found = pixels(canvas_of(page, name))
        assert_alike(found, wanted)


def test_both_pictures_of_a_pair_have_their_own_flow(opened, report, images):
    page = opened("#figure=fig10&layer=conv")
    for row, key in enumerate(PAIR.pictures):
        wanted = plot.overlay(photograph(images, key), report[1]["pair"]["conv"][row])
        assert_alike(pixels(canvas_of(page, "NAFlow", row)), wanted)


def test_one_scale_for_all_layers(opened, report, images):
    page = opened("#figure=fig04&picture=disc_test_000&layer=block.0")
    page.get_by_label("one for all layers").click()
    drawn = {
        name: plot.smoothed(values[0], (32, 32)) for name, values in report[1]["naflow"].items()
    }
    lows, highs = zip(*map(plot.limits, drawn.values()), strict=True)
    low, high = min(lows), max(highs)
    level = np.clip((drawn["block.0"] - low) / (high - low), 0, 1)
    cover = 0.85 * np.sqrt(level)[..., None]
    grey = 0.45 + 0.55 * photograph(images, "disc_test_000") @ [0.299, 0.587, 0.114]
    wanted = (1 - cover) * grey[..., None] + cover * colormaps[plot.COLOURS](level)[..., :3]
    assert_alike(pixels(canvas_of(page, "NAFlow")), wanted)
    own = page.locator("figure", has_text="NAFlow").locator(".range")
    expect(own).to_contain_text(f"{high:.3g}")


def test_the_stored_photograph_is_what_the_model_saw(opened, images):
    page = opened("#figure=fig04&picture=disc_test_000")
    wide, tall = page.locator("img").evaluate("one => [one.naturalWidth, one.naturalHeight]")
    assert (wide, tall) == (32, 32)
    page.get_by_label("Overlay strength").fill("0")
    grey = 0.45 + 0.55 * photograph(images, "disc_test_000") @ [0.299, 0.587, 0.114]
    assert np.abs(pixels(canvas_of(page, "NAFlow")) - grey[..., None]).max() <= 1 / 255
