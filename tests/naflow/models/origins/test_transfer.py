"""A download of weights comes whole or not at all, and comes to an end."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator
from io import BytesIO
from pathlib import Path
from time import monotonic

import pytest
from faulty_server import (
    Fault,
    FaultyServer,
    Handler,
    chunked,
    dripping,
    endless,
    instead,
    nameless,
    raw,
    status,
    truncated,
)

from naflow.models.origins import transfer

CONTENT = bytes(range(256)) * 2000
SHA = hashlib.sha256(CONTENT).hexdigest()[:8]
IMPATIENT = transfer.Patience(silence=2.0, slowest=1e5, window=0.2, deadline=1.0)
Get = Callable[..., None]


@pytest.fixture
def server() -> Generator[FaultyServer]:
    with FaultyServer({"/w.pth": CONTENT}) as server:
        yield server


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "w.pth"


@pytest.fixture
def get(server: FaultyServer, path: Path) -> Get:
    def get(sha: str = SHA, most: int = len(CONTENT)) -> None:
        transfer.download(f"{server.base}/w.pth", path, most, sha, IMPATIENT)

    return get


@pytest.mark.parametrize("fault", [None, nameless(), chunked()])
def test_the_file_comes_whole(server: FaultyServer, path: Path, get: Get, fault: Fault) -> None:
    server.faults = [fault]
    get()
    assert path.read_bytes() == CONTENT
    assert list(path.parent.iterdir()) == [path]


def test_redirects_are_followed(server: FaultyServer, path: Path, get: Get) -> None:
    server.faults = [status(302, Location="/w.pth")]
    get()
    assert path.read_bytes() == CONTENT


def test_what_comes_with_a_redirect_is_not_read(server: FaultyServer, path: Path, get: Get) -> None:
    sent = 0

    def fault(handler: Handler) -> None:
        nonlocal sent
        handler.wfile.write(b"HTTP/1.1 302 Found\r\nLocation: /w.pth\r\n\r\n")
        for _ in range(1000):
            handler.wfile.write(bytes(1 << 16))
            sent += 1 << 16

    server.faults = [fault]
    get()
    assert path.read_bytes() == CONTENT
    assert sent < 16 << 20  # what sockets hold; the rest was refused


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (status(404), "Not Found"),
        (status(302, Location=f"http://127.0.0.1:{'9' * 400}/w"), "cannot be read: OverflowError"),
        (raw(b"HTTP/1.1 404 " + b"x" * 60000 + b"\r\n\r\n"), "^x{300}$"),
        (status(302, Location="file:///etc/passwd"), "not allowed"),
        (status(302, Location="ftp://127.0.0.1:9/w"), "'ftp://127.0.0.1:9/w' is no web address"),
        (instead(b"<html>an error"), "another file came: its sha256 does not begin with"),
        (nameless(1000), "another file came"),
        (truncated(1000), "broke off 511,000 bytes before its end"),
        (chunked(breaks=b"zz\r\n"), "cannot be read|IncompleteRead"),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n"), "9,999,999 bytes, at most"),
        (raw(b"nonsense\r\n\r\n"), "cannot be read"),
        (raw(b"HTTP/1.1 200 OK\r\n" + b"x" * 70000), "cannot be read"),
        (endless(), "sends more than the 512,000 bytes"),
        (dripping(b"HTTP/1.1 200 OK\r\n", b"x"), "slower than 100,000 bytes a second"),
        (dripping(b"HTTP/1.1 200 OK\r\n\r\n", b"x"), "slower than 100,000 bytes a second"),
        (dripping(b"HTTP/1.1 200 OK\r\n\r\n", bytes(4000), 0.01), "not done after 1 seconds"),
    ],
)
def test_a_fault_is_one_reason_and_leaves_nothing(
    server: FaultyServer, path: Path, get: Get, fault: Fault, said: str
) -> None:
    server.faults = [fault]
    began = monotonic()
    with pytest.raises(transfer.NotReceived, match=said):
        get()
    assert monotonic() - began < 5
    assert list(path.parent.iterdir()) == []


def test_the_file_that_was_there_stays(server: FaultyServer, path: Path, get: Get) -> None:
    path.parent.mkdir()
    path.write_bytes(b"old")
    server.faults = [truncated(1000)]
    with pytest.raises(transfer.NotReceived, match="broke off"):
        get()
    assert path.read_bytes() == b"old"


def test_a_redirect_without_end_is_one_line(server: FaultyServer, get: Get) -> None:
    server.faults = [status(302, Location="/w.pth")] * 20
    with pytest.raises(transfer.NotReceived, match="infinite loop") as found:
        get()
    assert "\n" not in str(found.value)


def test_https_is_not_left(path: Path) -> None:
    class Asked:
        type = "https"

    with pytest.raises(
        transfer.NotReceived, match="from https to 'http://elsewhere/w', which anyone could"
    ):
        transfer._Redirects().redirect_request(
            Asked(), BytesIO(), 302, "", {}, "http://elsewhere/w"
        )


def test_nobody_listening(path: Path) -> None:
    with pytest.raises(transfer.NotReceived, match="refused"):
        transfer.download("http://127.0.0.1:9/w.pth", path, 10, "", IMPATIENT)
    with pytest.raises(transfer.NotReceived, match="cannot be read"):
        transfer.download("http://[", path, 10, "", IMPATIENT)


@pytest.mark.parametrize("address", ["no address", "", "file:///dev/zero", "data:,x", "ftp://x/y"])
def test_only_the_web_is_asked(path: Path, address: str) -> None:
    with pytest.raises(transfer.NotReceived, match=f"'{address}' is no web address"):
        transfer.download(address, path, 10, "", IMPATIENT)
