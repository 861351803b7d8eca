"""Take docs/report.png, a screenshot of the report's page.

    python -m pipeline.screenshot drawings=figures

Opens index.html of `drawings` in Chromium, at `screenshot.view` (the end of a link to the page, as
figure=fig04&layer=layer4.1; "" for the page's first view), and writes `screenshot.file`.
"""

import os
import shutil
from pathlib import Path

from omegaconf import DictConfig
from PIL import Image

from naflow.errors import BadInput
from pipeline.app import stage
from pipeline.atomic import replacing

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WAIT = 30_000  # milliseconds for the maps to be unpacked and drawn
# A part that is drawn again is smoothed otherwise at round corners: draw everything whole.
WHOLE = "--disable-partial-raster"
COLOURS = 256  # of the PNG: halves its size without a visible difference


# Wait until fonts and pictures are loaded and drawn.
STANDS_STILL = """async () => {
  await document.fonts.ready;
  await Promise.all([...document.images].map((image) => image.decode().catch(() => {})));
  for (let frame = 0; frame < 2; frame += 1) await new Promise(requestAnimationFrame);
}"""


@stage
def main(cfg: DictConfig) -> None:
    """Take the screenshot."""
    screenshot(cfg)


def screenshot(cfg: DictConfig) -> Path:
    """Write `cfg.screenshot.file`; return its path. Raises BadInput without a page, playwright or
    Chromium, and if the page has no such view."""
    page, asked = Path(cfg.drawings) / "index.html", cfg.screenshot
    if not page.is_file():
        raise BadInput(f"{page} is missing. Make it: python -m pipeline.report, or make figures.")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise BadInput("playwright is not installed: pip install playwright.") from None
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        raise BadInput(f"There is no browser: install one of {', '.join(BROWSERS)}.")
    flags = [WHOLE, "--no-sandbox"] if os.geteuid() == 0 else [WHOLE]
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=found, args=flags)
        shown = browser.new_page(
            viewport={"width": asked.width, "height": asked.height},
            reduced_motion="reduce",  # no screenshot while the page scrolls
        )
        shown.set_default_timeout(WAIT)
        shown.goto(f"{page.resolve().as_uri()}#{asked.view}")
        status = shown.get_by_role("status")
        status.filter(has_text="layer ").wait_for()
        said = status.text_content() or ""
        if said.startswith("This report has no"):
            raise BadInput(f"screenshot.view={asked.view}: {said}.")
        shown.evaluate(STANDS_STILL)
        file = Path(asked.file)
        with replacing(file) as partial:
            shown.screenshot(path=partial, type="png")
            with Image.open(partial) as taken:
                small = taken.convert("RGB").quantize(COLOURS)
            small.save(partial, "PNG", optimize=True)
        browser.close()
    return file


if __name__ == "__main__":
    main()
