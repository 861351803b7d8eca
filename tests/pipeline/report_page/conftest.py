"""A small report in a browser. Skips where there is no Chromium or no playwright."""

import os
import shutil

import pytest
from made_report import made_report

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


@pytest.fixture(scope="module")
def images(scenes):
    return {
        "_target_": "pipeline.pictures.images.Folder",
        "root": str(scenes),
        "name": "shapes",
        "index": "index.csv",
        "columns": {"group": "class_split"},
    }


@pytest.fixture(scope="module")
def report(images, tmp_path_factory):
    """The page, and the arrays of its maps."""
    return made_report(tmp_path_factory.mktemp("report"), images)


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium here")
    alone = ["--no-sandbox"] if os.geteuid() == 0 else []
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=alone)
        yield browser
        browser.close()


@pytest.fixture
def opened(browser, report):
    """Opens the page, at a link if one is given; at the end nothing may have gone wrong or out."""
    troubles, contexts = [], []

    def at(link="", width=1280, height=900, before="", **settings):
        viewport = {"width": width, "height": height}
        contexts.append(browser.new_context(viewport=viewport, **settings))
        page = contexts[-1].new_page()
        page.set_default_timeout(5000)
        page.on("console", lambda message: troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on(
            "request",
            lambda request: (
                request.url.startswith(("file:", "data:")) or troubles.append(request.url)
            ),
        )
        if before:
            page.add_init_script(before)
        page.goto(report[0].as_uri() + link)
        if not before:
            page.locator("#status:not(:empty)").wait_for()
        return page

    yield at
    for context in contexts:
        context.close()
    assert troubles == []
