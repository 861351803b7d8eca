"""A web server on 127.0.0.1 that serves files well, and misbehaves on request."""

from __future__ import annotations

import re
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Fault = Callable[["Handler"], None]


class FaultyServer(ThreadingHTTPServer):
    """Serves `files` (path -> bytes). Each request uses up one of `faults`; None serves it well.

    requests  (path, headers) of every one
    sent      bytes of body that each answer had
    go        what a held answer waits for
    """

    daemon_threads = True

    def __init__(self, files: dict[str, bytes], tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.etag = files, '"one"'
        self.faults: list[Fault | None] = []
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.sent: list[int] = []
        self.go = threading.Event()
        self.base = f"{'https' if tls else 'http'}://127.0.0.1:{self.server_port}"
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_side=True)

    def __enter__(self) -> FaultyServer:
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.go.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is part of the tests."""


class Handler(BaseHTTPRequestHandler):
    server: FaultyServer

    def do_GET(self) -> None:
        self.server.requests.append((self.path, dict(self.headers)))
        fault = self.server.faults.pop(0) if self.server.faults else None
        (fault or serve)(self)

    @property
    def content(self) -> bytes | None:
        return self.server.files.get(self.path.split("?")[0])

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Content-Length is the body's unless it is among `headers`, whose _ stand for -."""
        self.send_response(status)
        told = {"Content-Length": str(len(body))} | {
            k.replace("_", "-"): headers[k] for k in headers
        }
        for name, value in told.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.server.sent.append(len(body))

    def log_message(self, format: str, *arguments: object) -> None:
        pass


def serve(handler: Handler) -> None:
    """As a good server does: ranges, and If-Range."""
    content, etag = handler.content, handler.server.etag
    if content is None:
        return handler.answer(404)
    asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
    if asked is None or handler.headers.get("If-Range", etag) != etag:
        return handler.answer(200, content, ETag=etag)
    start = int(asked[1])
    if start >= len(content):
        told = {"Content_Range": f"bytes */{len(content)}", "Content_Type": "text/html"}
        return handler.answer(416, b"<html>no such range", **told)
    told = f"bytes {start}-{len(content) - 1}/{len(content)}"
    handler.answer(206, content[start:], ETag=etag, Content_Range=told)


def status(code: int, **headers: str) -> Fault:
    return lambda handler: handler.answer(code, **headers)


def whole(handler: Handler) -> None:
    """200 and everything, whatever range was asked for."""
    handler.answer(200, handler.content, ETag=handler.server.etag)


def nameless(count: int | None = None) -> Fault:
    """The first `count` bytes, or all, without a word about length, version or type."""

    def fault(handler: Handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(handler.content[:count])

    return fault


def chunked(breaks: bytes = b"") -> Fault:
    """Everything in chunks of 100,000 bytes; `breaks` stand in place of the last, empty one."""

    def fault(handler: Handler) -> None:
        handler.protocol_version = "HTTP/1.1"
        handler.close_connection = True
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for start in range(0, len(handler.content), 100_000):
            part = handler.content[start : start + 100_000]
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        handler.wfile.write(breaks or b"0\r\n\r\n")

    return fault


def raw(head: bytes, body: bytes = b"") -> Fault:
    """Exactly these bytes, whatever they are."""
    return lambda handler: handler.wfile.write(head + body)


def dripping(head: bytes, drop: bytes, every: float = 0.02) -> Fault:
    """`head`, then `drop` again and again while someone listens, 20 seconds at most."""

    def fault(handler: Handler) -> None:
        handler.wfile.write(head)
        for _ in range(int(20 / every)):
            if handler.server.go.wait(every):
                return
            handler.wfile.write(drop)

    return fault


def endless(most: int = 64 << 20) -> Fault:
    """Zeros without a word about their number; `most` bounds the test, not the fault."""

    def fault(handler: Handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        for _ in range(most // 65536):
            handler.wfile.write(bytes(65536))

    return fault


def dated(handler: Handler, date: str = "Sat, 01 Jan 2022 00:00:00 GMT") -> None:
    """As a server without ETags that goes on from any byte, whatever If-Range says."""
    start = int((re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", "")) or [0, 0])[1])
    size = len(handler.content)
    told = {"Content_Range": f"bytes {start}-{size - 1}/{size}"} if start else {}
    handler.answer(206 if start else 200, handler.content[start:], Last_Modified=date, **told)


def page(handler: Handler) -> None:
    handler.answer(
        200, b"<!DOCTYPE html><p>Quota exceeded", Content_Type="text/html; charset=utf-8"
    )


def instead(body: bytes, **headers: str) -> Fault:
    return lambda handler: handler.answer(200, body, **headers)


def truncated(count: int) -> Fault:
    """Breaks off `count` bytes after the place where a good answer begins."""

    def fault(handler: Handler) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        start, size = int(asked[1]) if asked else 0, len(handler.content)
        told = {"Content_Range": f"bytes {start}-{size - 1}/{size}"} if asked else {}
        handler.answer(
            206 if asked else 200,
            handler.content[start : start + count],
            Content_Length=str(size - start),
            ETag=handler.server.etag,
            **told,
        )

    return fault


def held(count: int) -> Fault:
    """Sends `count` bytes, and the rest when the server's `go` is set."""

    def fault(handler: Handler) -> None:
        size = str(len(handler.content))
        handler.answer(200, handler.content[:count], Content_Length=size, ETag=handler.server.etag)
        handler.server.go.wait(10)
        handler.wfile.write(handler.content[count:])

    return fault
