"""A Hugging Face hub on this machine: repositories are folders."""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

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
