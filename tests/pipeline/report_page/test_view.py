"""What can be chosen, by clicks, keys and links, and what is then read."""

import re

import pytest
from made_maps import LAYERS
from made_report import CLAIMS, HOSTILE, canvas_of

expect = pytest.importorskip("playwright.sync_api").expect


def status(page):
    return page.get_by_role("status").text_content()


def chosen(page):
    """What the form says is shown."""
    return {
        "figure": page.get_by_role("combobox", name="Figure").input_value(),
        "model": page.get_by_role("combobox", name="Model").input_value(),
        "picture": page.get_by_role("combobox", name="Picture").evaluate(
            "one => one.selectedOptions[0].text"
        ),
        "methods": page.locator("#methods :checked").evaluate_all(
            "all => all.map(one => one.value)"
        ),
        "layer": page.get_by_role("slider", name="Layer").input_value(),
    }


def test_the_first_view(opened):
    page = opened()
    assert chosen(page) == {
        "figure": "fig04",
        "model": "resnet18",
        "picture": "disc_test_000 (disc)",
        "methods": ["gradcam", "naflow"],
        "layer": "2",
    }
    assert status(page) == "layer 2 of 3, block.0, 4 × 6"
    expect(page.get_by_role("heading", name="fig04: Two discs")).to_be_visible()
    expect(page.get_by_text("What was looked at.")).to_be_visible()
    expect(page.get_by_text("a rule. 9 decided.")).to_be_visible()
    expect(page.get_by_text("resnet18 took disc for disc, by a margin of 0.5")).to_be_visible()
    verdicts = page.locator(".claims > li")
    for claim, verdict in zip(CLAIMS, ("holds", "does not hold", "not measurable"), strict=True):
        expect(verdicts.filter(has_text=claim["claim"]).locator(".verdict")).to_contain_text(
            verdict
        )
    expect(page.get_by_text("share 0.5")).to_be_visible()
    page.get_by_text("How this was checked").click()
    expect(page.get_by_text("By area.")).to_be_visible()


def test_how_far_the_maps_lie_on_objects(opened):
    page = opened()
    section = page.locator("#localised")
    assert section.locator("tbody tr").all_inner_texts() == ["Grad-CAM\t1.50\t1.26\t–\t1.40"]
    page.get_by_role("combobox", name="Figure").select_option("all pictures of a model")
    page.get_by_role("combobox", name="Model").select_option("conv64f")
    expect(section).to_be_hidden()  # it was not evaluated


def test_names_stay_text(opened):
    page = opened()
    expect(page.locator(".decision")).to_contain_text(f"predicted {HOSTILE} (wrong)")
    assert page.locator("img").count() == 1  # the photograph


def test_choose_figure_model_picture_and_method(opened):
    page = opened()
    page.get_by_role("combobox", name="Picture").select_option("cross_test_000 (cross)")
    expect(page.get_by_role("heading", name="cross_test_000")).to_be_visible()
    page.get_by_role("checkbox", name="Grad-CAM").click()
    expect(page.locator(".panels canvas")).to_have_count(1)
    expect(page.get_by_role("checkbox", name="Grad-CAM")).to_be_focused()
    page.get_by_role("checkbox", name="Grad-CAM").click()
    expect(page.locator(".panels canvas")).to_have_count(2)
    page.get_by_role("combobox", name="Figure").select_option("all pictures of a model")
    expect(page.locator("#about")).to_be_hidden()
    page.get_by_role("combobox", name="Model").select_option("conv64f")
    expect(page.get_by_role("heading", name="Query: key_test_000")).to_be_visible()
    expect(page.get_by_role("heading", name="Reference: key_test_001")).to_be_visible()
    assert (
        page.get_by_role("combobox", name="Picture").locator("option").count() == 1
    )  # a pair is listed once
    expect(page.get_by_role("heading", name="Contribution weights")).to_be_visible()
    assert page.locator(".weights li").count() == 16
    option = page.get_by_role("combobox", name="Figure").locator("option", has_text="fig05")
    assert option.text_content() == "fig05 (no maps)" and option.is_disabled()
    page.get_by_role("combobox", name="Figure").select_option("fig10")
    expect(page.get_by_text("No picture satisfies this")).to_be_visible()


def test_scrub_by_keys_slider_and_thumbnails(opened):
    page = opened()
    page.locator("h1").click()
    page.keyboard.press("ArrowRight")
    assert status(page) == "layer 3 of 3, block.1, 2 × 2"
    page.keyboard.press("ArrowRight")
    assert status(page).startswith("layer 3 of 3")
    for _ in range(2):
        page.keyboard.press("ArrowLeft")
    assert status(page) == "layer 1 of 3, conv, 8 × 8"
    assert page.get_by_role("slider", name="Layer").get_attribute("aria-valuetext") == "conv"
    page.get_by_role("slider", name="Layer").press("End")
    assert status(page).startswith("layer 3 of 3")
    page.locator(".column").nth(1).locator("canvas").first.click()
    assert status(page) == "layer 2 of 3, block.0, 4 × 6"
    assert page.locator(".column:has(:checked)").count() == 1
    page.get_by_role("radio", name="block.0").press("ArrowRight")
    assert status(page).startswith("layer 3 of 3")
    expect(page.get_by_role("radio", name="block.1")).to_be_checked()
    expect(page.get_by_role("radio", name="block.1")).to_be_focused()
    page.get_by_role("combobox", name="Figure").press("ArrowLeft")  # has its own use for the key
    assert status(page).startswith("layer 3 of 3")


@pytest.mark.parametrize("layer", LAYERS)
def test_hover_reads_the_raw_value(opened, report, layer):
    page = opened(f"#figure=fig04&picture=cross_test_000&layer={layer}")
    height, width = LAYERS[layer]
    row, column = height - 1, width // 2
    box = canvas_of(page, "NAFlow").bounding_box()
    page.mouse.move(
        box["x"] + box["width"] * (column + 0.5) / width,
        box["y"] + box["height"] * (row + 0.5) / height,
    )
    for method, name in (("naflow", "NAFlow"), ("gradcam", "Grad-CAM")):
        reading = page.locator("figure", has_text=name).locator(".reading").text_content()
        value, place = re.fullmatch(r"(\S+) contribution(.*)", reading).groups()
        wanted = report[1][method][layer][1, row, column]
        assert float(value) == pytest.approx(wanted, rel=0.006), (value, wanted)
        assert place == f"row {row + 1}, column {column + 1} of {height} × {width}"
    expect(page.locator(".mark:visible")).to_have_count(2)
    page.mouse.move(0, 0)
    expect(page.locator(".mark:visible")).to_have_count(0)
    expect(page.locator(".reading").first).to_contain_text("highest at row")


def test_the_keyboard_reads_values_too(opened, report):
    page = opened("#figure=fig10&layer=block.0")
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("Shift+ArrowLeft")
    value = report[1]["pair"]["block.0"][0, 2, 2]
    said = page.locator("#values[aria-live]").text_content()
    said = re.fullmatch(r"NAFlow \(selective\) (\S+), row 3, column 3 of 4 × 6", said)
    assert float(said[1]) == pytest.approx(value, rel=0.006)
    page.keyboard.press("ArrowRight")  # the place stays while the layers pass
    expect(page.locator(".reading").first).to_contain_text("row 2, column 1 of 2 × 2")
    page.keyboard.press("Escape")
    expect(page.locator(".mark:visible")).to_have_count(0)


def test_statistics_follow_the_layer(opened):
    page = opened("#figure=fig04&layer=conv")
    table = page.locator("#solved")
    expect(table).to_contain_text("How conv was found")
    expect(table.get_by_role("row", name="Stop")).to_contain_text("closed form")
    page.keyboard.press("ArrowRight")
    expect(table.get_by_role("row", name="Iterations")).to_contain_text("5")
    expect(table.get_by_role("row", name="Residual")).to_contain_text("0.25")
    expect(table.get_by_role("row", name="‖x‖")).to_contain_text("1.5")
    expect(table.get_by_role("row", name="Abandoned")).to_contain_text("12.5 %")
    bars = page.locator(".column").nth(1).locator(".profile i")
    heights = bars.evaluate_all("all => all.map(one => parseFloat(one.style.height))")
    assert heights == pytest.approx([50, 50, 60, 100])
    page.get_by_role("checkbox", name="NAFlow (selective)").click()
    expect(table).to_be_hidden()


def test_a_link_brings_the_view_back(opened, report):
    page = opened()
    page.get_by_role("combobox", name="Figure").select_option("")
    page.get_by_role("combobox", name="Picture").select_option("cross_test_000 (cross)")
    page.get_by_role("checkbox", name="NAFlow (selective)").click()
    expect(page.locator(".panels canvas")).to_have_count(1)
    page.locator("h1").click()
    page.keyboard.press("ArrowRight")
    link = page.url.removeprefix(report[0].as_uri())
    assert (
        chosen(opened(link))
        == chosen(page)
        == {
            "figure": "",
            "model": "resnet18",
            "picture": "cross_test_000 (cross)",
            "methods": ["gradcam"],
            "layer": "3",
        }
    )
    page.evaluate("link => { location.hash = link }", "#figure=fig10&layer=conv")
    expect(page.get_by_role("heading", name="Query: key_test_000")).to_be_visible()


def test_a_link_to_what_is_not_here_says_so(opened):
    page = opened("#model=vgg&picture=disc_test_9&layer=fc")
    assert status(page) == (
        "This report has no model “vgg”, picture “disc_test_9” and layer “fc”; "
        "shown instead: layer 2 of 3, block.0, 4 × 6"
    )
