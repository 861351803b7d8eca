"""Every Python block of the pages runs as it stands, those of a page one after the other."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = [DOCS / "index.md", *sorted(DOCS.glob("how-to/*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.S | re.M)
#: Packages that a page is about, and that are no requirement of ours.
FOREIGN = ("captum", "pytorch_grad_cam")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = page.read_text()
    blocks = list(BLOCK.finditer(text))
    assert blocks, f"{page.name} shows no code"
    for package in FOREIGN:
        if f"from {package}" in text and find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "page"}
    for block in blocks:
        above = text.count("\n", 0, block.start(1))  # so that a failure names the page's own line
        exec(compile("\n" * above + block[1], str(page), "exec"), names)


def test_every_page_is_in_the_navigation() -> None:
    listed = set(re.findall(r"[\w/-]+\.md", (DOCS.parent / "mkdocs.yml").read_text()))
    pages = [*DOCS.rglob("*.md"), *(path.with_suffix(".md") for path in DOCS.rglob("*.ipynb"))]
    assert listed == {page.relative_to(DOCS).as_posix() for page in pages}
