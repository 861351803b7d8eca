"""Notebooks as pages: words, code and pictures, as they were committed.

Each docs/notebooks/*.ipynb becomes a page of the same name. Nothing is executed here, and nothing
of Jupyter is needed: a notebook is JSON. Its own links to notebooks lead to their pages; the file
itself lies beside the page.
"""

from __future__ import annotations

import base64
import json
import re
from pathlib import PurePosixPath
from typing import Any

from mkdocs.structure.files import File, Files

_NOTEBOOK_LINK = re.compile(r"\]\((?P<target>[^)\s#]+)\.ipynb(?P<anchor>#[^)\s]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """Add a page, and the pictures on it, for every notebook."""
    for notebook in [file for file in files if file.src_uri.endswith(".ipynb")]:
        path = PurePosixPath(notebook.src_uri)
        pictures: dict[str, bytes] = {}
        words = [
            _cell(cell, path.stem, pictures)
            for cell in json.loads(notebook.content_string)["cells"]
        ]
        foot = f'<a href="{path.name}" download>This notebook</a>, to run it yourself.'
        page = "\n\n".join([*words, foot])
        files.append(File.generated(config, str(path.with_suffix(".md")), content=page))
        for name, content in pictures.items():
            files.append(File.generated(config, str(path.parent / name), content=content))
    return files


def _cell(cell: dict, name: str, pictures: dict[str, bytes]) -> str:
    """A cell as Markdown; what it drew is added to the pictures, file name -> PNG."""
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return _NOTEBOOK_LINK.sub(r"](\g<target>.md\g<anchor>)", source)
    lines = [line for line in source.splitlines() if not line.startswith("%")]  # Jupyter's own
    parts = [_fenced("\n".join(lines), "python")]
    for output in cell["outputs"]:
        data = output.get("data", {})
        if "image/png" in data:
            file = f"{name}-{len(pictures) + 1}.png"
            pictures[file] = base64.b64decode("".join(data["image/png"]))
            parts.append(f"![What the code above draws]({file})")
        else:
            text = output.get("text") or data["text/plain"]
            parts.append(_fenced("".join(text).rstrip(), "text"))
    return "\n\n".join(parts)


def _fenced(text: str, language: str) -> str:
    return f"```{language}\n{text.strip(chr(10))}\n```"
