"""Who speaks with the page's server otherwise than the page does."""

from __future__ import annotations

import json
import socket
from collections.abc import Generator
from threading import Event, Thread
from typing import Any

import pytest

from naflow.errors import BadInput
from naflow.page.server import PageServer


class Explained:
    """What was explained; each waits for `go`."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, bytes]] = []
        self.begun, self.go = Event(), Event()
        self.go.set()

    def __call__(self, name: str, content: bytes) -> dict[str, Any]:
        self.asked.append((name, content))
        self.begun.set()
        assert self.go.wait(30)
        if content == b"bad":
            raise BadInput(f"{name} is no picture.")
        return {"name": name, "bytes": len(content)}


@pytest.fixture
def explained() -> Explained:
    return Explained()


@pytest.fixture
def server(explained: Explained) -> Generator[PageServer]:
    with PageServer("<html>", explained) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def said(server: PageServer, request: bytes, ends: bool = True) -> bytes:
    """All that is answered to these bytes; ends: nothing more will come."""
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=30) as browser:
        browser.sendall(request)
        if ends:
            browser.shutdown(socket.SHUT_WR)
        found = b""
        while part := browser.recv(1 << 16):
            found += part
        return found


def post(server: PageServer, *headers: str, query: str = "", body: bytes = b"x") -> bytes:
    lines = [f"POST {server.path}explain{query} HTTP/1.1", f"Host: {server.host}", *headers]
    return "\r\n".join([*lines, "", ""]).encode("latin1") + body


def test_what_does_not_come_by_the_pages_address_is_not_explained(
    server: PageServer, explained: Explained, capfd: pytest.CaptureFixture[str]
) -> None:
    right, length = post(server, "Content-Length: 1"), server.server_port
    assert said(server, right).startswith(b"HTTP/1.0 200")
    hosts = (
        "",
        "localhost",
        f"localhost:{length}",
        "127.0.0.1",
        f"127.0.0.1:{length}.evil.example",
    )
    hosts += (f"evil.example:{length}", f"[::1]:{length}", f"127.1:{length}", f"0.0.0.0:{length}")
    hosts += (f"{server.host}@evil.example", f" {server.host},x", "\xff", "a" * 9000)
    for host in hosts:
        asked = right.replace(f"Host: {server.host}".encode(), f"Host: {host}".encode("latin1"))
        assert said(server, asked).startswith(b"HTTP/1.0 404"), host
    secret = server.path.encode()
    paths = (b"/", b"//", secret[:-2] + b"/", secret.upper(), secret[:-1], b"/\xff/", b"*")
    paths += (b"/../" + secret[1:], b"/%2e%2e" + secret, secret + b"../", b"http://x" + secret)
    for path in paths:
        found = said(server, right.replace(secret, path, 1))
        assert not found.startswith(b"HTTP/1.0 200") and b"html>" not in found[-20:], path
    for method in (b"PUT", b"HEAD", b"OPTIONS", b"DELETE", b"TRACE", b"CONNECT", b"post"):
        assert b" 200 " not in said(server, right.replace(b"POST", method, 1))
    for noise in (b"", b"\0" * 99, b"GET", b"\x16\x03\x01\x02", b"POST / HTTP/9.9\r\n\r\n"):
        assert b" 200 " not in said(server, noise)
    assert len(explained.asked) == 1 and capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "length",
    ["", "-1", "1e3", "0x1", "1,1", "+1", "9" * 12, "9" * 13, "9" * 5000, "½", "1 1", "nan"],
)
def test_a_length_that_none_has_is_refused(
    server: PageServer, explained: Explained, length: str
) -> None:
    found = said(server, post(server, f"Content-Length: {length}"), ends=False)
    assert "at most" in json.loads(found.partition(b"\r\n\r\n")[2])["error"]
    assert not explained.asked


def test_a_photograph_that_did_not_come_whole_is_not_explained(
    server: PageServer, explained: Explained
) -> None:
    assert said(server, post(server, "Content-Length: 2")) == b""
    found = said(server, post(server, "Content-Length: 3", body=b"bad"))
    assert json.loads(found.partition(b"\r\n\r\n")[2]) == {"error": "photograph is no picture."}
    assert len(explained.asked) == 1


@pytest.mark.parametrize(
    "name",
    ["%00", "%1b%5b31m", "%ff%fe", "../../x", "%ed%a0%80", "a" * 9000, "<script>", "", "&name=b"],
)
def test_any_name_is_answered(server: PageServer, explained: Explained, name: str) -> None:
    found = said(server, post(server, "Content-Length: 1", query=f"?name={name}"))
    assert json.loads(found.partition(b"\r\n\r\n")[2])["bytes"] == 1
    assert len(explained.asked[0][0]) <= 200


def test_photographs_at_once_are_read_and_explained_one_by_one(
    server: PageServer, explained: Explained
) -> None:
    explained.go.clear()
    answers: list[bytes] = []
    content = b"y" * 100
    request = post(server, f"Content-Length: {len(content)}", body=content)
    browsers = [Thread(target=lambda: answers.append(said(server, request))) for _ in range(8)]
    for browser in browsers:
        browser.start()
    assert explained.begun.wait(30) and len(explained.asked) == 1
    explained.go.set()
    for browser in browsers:
        browser.join()
    assert [content] * 8 == [found for _, found in explained.asked]
    assert all(answer.startswith(b"HTTP/1.0 200") for answer in answers) and len(answers) == 8
