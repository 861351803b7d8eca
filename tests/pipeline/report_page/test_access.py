"""For every reader: keyboard, screen reader, small screen, dark screen, old browser."""

import numpy as np
import pytest
from made_report import canvas_of

expect = pytest.importorskip("playwright.sync_api").expect


def test_tab_reaches_every_control_once_and_in_order(opened):
    page = opened()
    reached = []
    for _ in range(12):
        page.keyboard.press("Tab")
        name, ring = page.evaluate(
            "(() => { const one = document.activeElement;"
            " return [one.id || one.name || one.value || one.tagName,"
            " getComputedStyle(one.closest('.column') ?? one).outlineStyle]; })()"
        )
        reached.append(name)
        assert name == "BODY" or ring == "solid", name
    assert reached[:10] == [
        *("figure", "model", "picture", "gradcam", "naflow", "strength", "scale", "layer", "strip"),
        "SUMMARY",
    ]


def test_pictures_are_named_for_those_who_do_not_see_them(opened, report):
    page = opened("#figure=fig04&picture=disc_test_000&layer=block.0")
    assert page.locator("img").get_attribute("alt") == "Photograph disc_test_000, class disc"
    label = canvas_of(page, "NAFlow").get_attribute("aria-label")
    row, column = np.unravel_index(report[1]["naflow"]["block.0"][0].argmax(), (4, 6))
    assert label.startswith("NAFlow (selective), block.0, over disc_test_000")
    assert label.endswith(f"highest at row {row + 1}, column {column + 1} of 4 × 6")
    for control in page.locator("select, input").all():
        assert control.evaluate("one => one.labels.length") == 1


@pytest.mark.parametrize("width", [360, 768, 1600])
@pytest.mark.parametrize("link", ["", "#figure=fig10"])
def test_no_width_scrolls_sideways(opened, width, link):
    page = opened(link, width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def beyond(page):
    """How many pixels of the chosen layer's column the strip hides on the right."""
    return page.evaluate(
        "document.querySelector('.column:has(:checked)').getBoundingClientRect().right"
        " - document.querySelector('#strip').getBoundingClientRect().right"
    )


def test_the_strip_follows_at_once_for_those_who_bear_no_motion(opened):
    page = opened("#figure=fig10&layer=conv", width=360, reduced_motion="reduce")
    last = page.get_by_role("radio", name="tail.8")
    assert last.evaluate("one => one.closest('label').getBoundingClientRect().right") > 360
    page.get_by_role("slider", name="Layer").press("End")
    assert beyond(page) <= 1


def luminance(colour):
    """WCAG 2, of "#rrggbb"."""
    levels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out(opened, scheme):
    page = opened(color_scheme=scheme)
    colours = {
        name: luminance(
            page.evaluate(
                "name => getComputedStyle(document.documentElement).getPropertyValue(name)",
                f"--{name}",
            )
        )
        for name in ("ink", "quiet", "accent", "good", "paper", "sheet", "tint")
    }
    assert (colours["paper"] < 0.05) == (scheme == "dark")
    for word, below in [
        *(
            (word, below)
            for word in ("ink", "quiet", "accent", "good")
            for below in ("paper", "sheet")
        ),
        ("ink", "tint"),
    ]:
        low, high = sorted((colours[word], colours[below]))
        assert (high + 0.05) / (low + 0.05) >= 4.5, (word, below)


def test_an_old_browser_is_told_so(opened):
    page = opened(before="delete window.DecompressionStream")
    expect(page.get_by_role("alert")).to_contain_text("This browser is too old")
