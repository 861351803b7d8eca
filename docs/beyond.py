"""What the pages need from beyond docs/.

A picture of the repository that a page links to becomes a file of the site. Any other file is no
page here: its link becomes its path, in words. The script that lets the search run from disk is our
copy: the theme would fetch it from elsewhere.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

_LINK = re.compile(r"\[(?P<text>[^\]]*)\]\((?P<target>[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")
_PICTURES = (".png", ".svg")
_SHIM, _OUR_SHIM = "https://unpkg.com/iframe-worker/shim", "assets/iframe-worker.js"


def on_files(files: Files, config: Any) -> Files:
    """Add the pictures that pages link to outside docs/."""
    root = Path(config.config_file_path).parent
    for page in list(files.documentation_pages()):
        for link in _LINK.finditer(page.content_string):
            path = _outside(page.src_uri, link["target"])
            if path and path.endswith(_PICTURES) and not files.get_file_from_path(path):
                source = str(root / path)
                files.append(File.generated(config, path, abs_src_path=source))
    return files


def on_page_markdown(markdown: str, page: Any, files: Files, **_: Any) -> str:
    """Turn the links that leave docs/ to those pictures, or to words."""

    def turned(link: re.Match) -> str:
        path = _outside(page.file.src_uri, link["target"])
        if path is None:
            return link[0]
        if files.get_file_from_path(path):
            here = posixpath.dirname(page.file.src_uri)
            return f"[{link['text']}]({posixpath.relpath(path, here or '.')})"
        return link["text"] if path in link["text"] else f"{link['text']} (`{path}`)"

    return _LINK.sub(turned, markdown)


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Take the script from our own copy."""
    here = posixpath.dirname(page.file.dest_uri) or "."
    return output.replace(_SHIM, posixpath.relpath(_OUR_SHIM, here))


def _outside(page: str, target: str) -> str | None:
    """A link's path from the root of the repository, if it leaves docs/, else None."""
    if "://" in target:
        return None
    path = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page), target))
    return None if path.startswith("docs/") else path
