"""Serve the page to this machine only, and explain the photographs that are dropped on it."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from typing import Any
from urllib.parse import parse_qs

from naflow import raster
from naflow.errors import NAFlowError, out_of_memory

_PATIENCE = 60.0  # seconds to wait for the next bytes of a photograph
_LETTERS = 200  # the longest name of a photograph


class PageServer(ThreadingHTTPServer):
    """Serve a page on a free port of 127.0.0.1, by serve_forever(), until shutdown().

    page     the HTML
    explain  (name, bytes) of a photograph -> what the page adds, as JSON; the page shows the
             message of a NAFlowError

    Other sites in the same browser can neither read the page nor send it requests: its address
    holds a secret, and requests for another host than 127.0.0.1 are refused.
    """

    daemon_threads = True

    def __init__(self, page: str, explain: Callable[[str, bytes], dict[str, Any]]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.page, self.explain = page.encode(), explain
        self.path = f"/{secrets.token_urlsafe(16)}/"
        self.one_by_one = Lock()  # a network explains one photograph at a time

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore that a browser closed the connection, as when the page is closed."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_port}"

    @property
    def address(self) -> str:
        """The address that the browser opens, with the secret."""
        return f"http://{self.host}{self.path}"


class _Handler(BaseHTTPRequestHandler):
    timeout = _PATIENCE

    @property
    def own(self) -> PageServer:
        """`self.server`, typed."""
        assert isinstance(self.server, PageServer)
        return self.server

    def do_GET(self) -> None:
        if self._asks(""):
            self._answer(HTTPStatus.OK, "text/html; charset=utf-8", self.own.page)

    def do_POST(self) -> None:
        if not self._asks("explain"):
            return
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length[:12]) > raster.BYTES or len(length) > 12:
            self.close_connection = True
            return self._told({"error": f"at most {raster.BYTES:,} bytes are read."})
        name = parse_qs(self.path.partition("?")[2]).get("name", ["photograph"])[0][:_LETTERS]
        with self.own.one_by_one:  # the memory holds one photograph at a time
            content = self.rfile.read(int(length))
            if len(content) < int(length):  # the browser closed the connection
                self.close_connection = True
                return
            self._told(self._explained(name, content))

    def _explained(self, name: str, content: bytes) -> dict[str, Any]:
        try:
            return self.own.explain(name, content)
        except NAFlowError as error:
            return {"error": str(error)}
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            return {"error": "the memory ran out."}

    def _asks(self, what: str) -> bool:
        """Return whether the request is the page's, for `what`; otherwise answer 404."""
        path, host = self.path.partition("?")[0], self.headers.get("Host", "")
        if host == self.own.host and secrets.compare_digest(
            path.encode(), f"{self.own.path}{what}".encode()
        ):
            return True
        self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"")
        return False

    def _told(self, said: dict[str, Any]) -> None:
        self._answer(HTTPStatus.OK, "application/json", json.dumps(said, allow_nan=False).encode())

    def _answer(self, status: HTTPStatus, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Referrer-Policy", "no-referrer")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: the terminal belongs to the command."""
