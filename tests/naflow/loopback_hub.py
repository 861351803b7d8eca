"""A Hugging Face hub on this machine: repositories are folders."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def serving(root: Path) -> Generator[tuple[str, list[str]]]:
    """The address of a server of root/owner/name/file, and the files it was asked for (GET)."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, body: bool) -> None:
            repository, _, rest = self.path.lstrip("/").partition("/resolve/")
            file = root / repository / rest.partition("/")[2] if rest else root / repository
            if not file.is_file():
                there = (root / repository).is_dir()
                self.send_response(404)
                self.send_header("X-Error-Code", "EntryNotFound" if there else "RepoNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            content = file.read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.end_headers()
            if body:
                asked.append(file.relative_to(root).as_posix())
                self.wfile.write(content)

        def log_message(self, *words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


NAMES = ["ant", "bee", "cat"]


def publish_small(root: Path, told: dict[str, Any], licence: str) -> Path:
    """ant/small: a small ResNet of transformers, with its processor's settings; its folder."""
    transformers = pytest.importorskip("transformers")
    config = transformers.ResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 16],
        depths=[1, 1],
        layer_type="basic",
        id2label=dict(enumerate(NAMES)),
        label2id={name: i for i, name in enumerate(NAMES)},
    )
    torch.manual_seed(0)
    folder = root / "ant" / "small"
    transformers.ResNetForImageClassification(config).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(told))
    (folder / "README.md").write_text(f"---\nlicense: {licence}\n---\n# Small\n")
    return folder


@contextmanager
def in_the_hubs_place(root: Path, own: Path) -> Generator[list[str]]:
    """A server of `root` as the hub that huggingface_hub asks, which keeps its files in `own`; the
    files it was asked for."""
    constants = pytest.importorskip("huggingface_hub.constants")
    with serving(root) as (address, asked), pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "HF_HUB_CACHE", str(own / "cache"))
        patch.setattr(constants, "HF_TOKEN_PATH", str(own / "token"))
        patch.setattr(constants, "ENDPOINT", address)
        template = address + "/{repo_id}/resolve/{revision}/{filename}"
        patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield asked
