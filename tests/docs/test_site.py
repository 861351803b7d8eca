"""The built documentation: whole, and readable from disk."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from urllib.parse import unquote

import pytest
from uv_command import ROOT, uv


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` builds it; mkdocs.yml makes every warning an error."""
    folder = tmp_path_factory.mktemp("site")
    locked = ("--with-requirements", ROOT / "docs" / "requirements.txt")
    command = ("mkdocs", "build", "--quiet", "--site-dir", folder)
    uv("run", "--no-project", "--isolated", *locked, *command)
    return folder


def test_strict() -> None:
    assert re.search(r"^strict: true$", (ROOT / "mkdocs.yml").read_text(), re.M)


def test_opens_from_disk(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        if page.name == "404.html":  # a server's
            continue
        text = page.read_text()
        for tag, target in re.findall(r"<(\w+)[^>]*? (?:src|href)=\"?([^\"\s>]+)", text):
            if re.match(r"(https?|mailto):", target):
                assert tag == "a", f"{page.name} fetches {target}"
            elif not target.startswith(("#", "data:")):
                path = (page.parent / unquote(target).split("#")[0]).resolve()
                assert path.is_file(), f"{page.relative_to(site)} links to {target}"


def test_a_notebook_is_a_page_with_its_pictures_and_its_file(site: Path) -> None:
    text = (site / "notebooks" / "similarity.html").read_text()
    for file in ("similarity-1.png", "similarity.ipynb"):
        assert f'"{file}"' in text
        assert (site / "notebooks" / file).is_file()
    assert '"class-against-another.html"' in (site / "notebooks" / "first-flow.html").read_text()
    assert "matplotlib inline" not in text


@pytest.mark.parametrize(
    ("package", "page"),
    [
        ("naflow.explainers", "explainers"),
        ("naflow.metrics", "metrics"),
        ("naflow.models", "models"),
    ],
)
def test_reference_has_every_public_name(site: Path, package: str, page: str) -> None:
    text = (site / "reference" / f"{page}.html").read_text()
    documented = {name.rsplit(".", 1)[1] for name in re.findall(r'id="(naflow\.[\w.]+)"', text)}
    public = set(import_module(package).__all__) - {"image_masks"}
    assert public <= documented


def test_docstrings_columns_are_lists(site: Path) -> None:
    text = (site / "reference" / "explaining.html").read_text()
    assert re.search(r"<li>\s*(<p>)?<code>layers</code>: names of the layers to draw", text)
